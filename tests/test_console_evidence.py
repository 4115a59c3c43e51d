"""What the console shows of what stands behind an amount, in a real browser: trails, ages, events, alerts in sentences,
milestones in order of time, the fleet's health."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import TOKEN, ApiCloud
from browsing import arrived, opened, served, turned_to, violations
from builders import AT_SEA, IN_LOS_ANGELES, MINUTE_MS, NOON_MS, Device, book_document, position, temperature
from keeping import LINE
from playwright.sync_api import Browser, Page, expect
from receipting import BANK, FIRST
from seeing import HALL_LOT, USERS, Seeing
from warehouses import ZONE

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.ingest.decode import DeviceStatus
from pledgewatch_wire.codec import Status
from pledgewatch_wire.reading import Cell, Channel

LOT, ASSET = "lot-container-1", "asset-container-1"
POLICY = {
    "id": "cold",
    "breach": "ineligible",
    "advance_bp": {"at_port": 6_000},
    "evidence": {"fresh_s": 3_600, "stale_s": 7_200},
    "covenants": {"warning_bp": 7_000, "call_bp": 8_000, "cure_s": 86_400},
}
WARM = "temperature of lot lot-container-1 in asset-container-1 is 9.10 °C; allowed is 2.00 °C – 8.00 °C, beyond it"


class Port:
    """A container in port whose goods are too warm, another that was never heard, and a third with a hole in what came;
    money was lent on a quote in euros."""

    def __init__(self, folder: Path) -> None:
        self.cloud = cloud = ApiCloud(folder, at_ms=NOON_MS, token=TOKEN)
        self.mute, self.holed = Device("mute", seed=8), Device("holed", seed=9)
        document = book_document(cloud.device, self.mute, self.holed)
        document["facilities"][0] |= {"policy": "cold", "currency": "EUR", "outstanding_minor": 9_000_000}
        document |= {"policies": [POLICY], "prices": [], "products": [{"sku": "sofa", "series": "sofas/oak"}]}
        for one in document["milestones"]:
            one["expires_at"] = f"2026-02-0{1 if one['lot'] == 'lot-mute' else 2}T00:00:00Z"
        cloud.spine.commit(drafts.amend, document)
        quotes = {
            "prices": [{"series": "sofas/oak", "date": "2025-12-31", "price": "250.00", "currency": "USD"}],
            "rates": [{"currency": "USD", "date": "2025-12-30", "rate": "1.25"}],
        }
        cloud.spine.commit(drafts.quote, quotes)
        for minute, cells in (
            (0, (*position(AT_SEA), temperature(5_000))),
            (1, position(IN_LOS_ANGELES)),
            (2, (temperature(9_000), Cell(Channel.BATTERY_MV, 3_650))),
            (20, (temperature(9_100),)),
        ):
            cloud.clock.at_ms = NOON_MS + minute * MINUTE_MS
            cloud.measure(minute, *cells, signed=minute < 20)
        readings = [self.holed.measure(cloud.clock.at_ms, temperature(5_000)) for _ in range(4)]
        cloud.spine.take([self.holed.arrival([readings[0]]), self.holed.arrival([readings[3]])])
        cloud.clock.at_ms = NOON_MS + 21 * MINUTE_MS
        cloud.spine.tick()
        cloud.feeder.catch_up()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    made = Port(tmp_path_factory.mktemp("port"))
    yield made
    made.cloud.close()


@pytest.fixture(scope="module")
def page(browser: Browser, port: Port) -> Iterator[Page]:
    """A console that is open."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    made = context.new_page()
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    with served(port.cloud.client.app) as url:
        opened(made, url, "receipts")
        yield made
        context.close()
    assert not faults


def row_of(page: Page, name: str, table: str = "") -> str:
    """The text of the row with a heading, with plain spaces."""
    where = page.get_by_role("table", name=table, exact=True) if table else page
    row = where.get_by_role("row").filter(has=page.get_by_role("rowheader", name=name, exact=True)).first
    return str(row.inner_text()).replace("\xa0", " ").replace("\n", " ").replace("\t", " ")


def breach_of(port: Port) -> str:
    """The event that began the breach."""
    return next(str(one["id"]) for one in port.cloud.get("/events")["events"] if one["type"] == "condition_breached")


def test_the_trail_of_a_lot_says_what_each_amount_rests_on(page: Page, port: Port) -> None:
    turned_to(page, f"lots/{LOT}")
    trail = "Trail of evidence"
    value = row_of(page, "Value", trail)
    assert "EUR 200,000.00" in value
    assert "1000 × USD 250.00 (series sofas/oak, quote of 2025-12-31)" in value
    assert "1 EUR = 1.25 USD (2025-12-30)" in value
    assert "−EUR 200,000.00" in row_of(page, "condition", trail)
    assert "advance rate 60.00 % for goods at a port, by policy cold" in row_of(page, "Lent on", trail)
    ages = row_of(page, LOT, "Age of evidence")
    assert "reading 4 of container-1, epoch 1" in ages
    assert "1 min" in ages
    assert "fresh ≤ 1 h · stale > 2 h" in ages
    assert violations(page) == []
    page.get_by_role("link", name="sofas/oak").click()
    arrived(page, "Price sofas/oak")
    assert "USD 250.00" in row_of(page, "2025-12-31")
    turned_to(page, "rates/USD")
    assert "1 EUR = 1.25" in row_of(page, "2025-12-30")


def test_a_ground_opens_the_event_and_that_says_what_said_it(page: Page, port: Port) -> None:
    name = breach_of(port)
    turned_to(page, f"lots/{LOT}")
    page.get_by_role("table", name="Trail of evidence").get_by_role("link", name=name).click()
    arrived(page, f"Event {name}")
    said = row_of(page, "container-1", "What said it")
    for one in (ASSET, "3–3", "2026-01-01 12:02Z"):
        assert one in said
    expect(page.get_by_role("link", name=LOT)).to_be_visible()
    assert "9.00 °C" in row_of(page, "value", "Facts")
    assert violations(page) == []


def test_a_facility_shows_how_old_the_evidence_of_each_lot_is_and_calls_margin(page: Page, port: Port) -> None:
    turned_to(page, "facilities/facility-1")
    ages = page.get_by_role("table", name="Age of evidence", exact=True)
    names = ages.get_by_role("rowheader").all_inner_texts()
    assert names == ["lot-mute", LOT, "lot-holed"], "the worst first"
    assert "nothing good of asset-mute" in row_of(page, "lot-mute", "Age of evidence")
    assert "stale" in row_of(page, "lot-mute", "Age of evidence")
    fresh = row_of(page, LOT, "Age of evidence")
    assert "fresh" in fresh
    assert "EUR 200,000.00 EUR 0.00" in fresh
    figures = page.locator("dl.figures").first.inner_text().replace("\xa0", " ").split("\n")
    told = port.cloud.get("/facilities/facility-1")
    assert told["call_minor"] > 0
    assert figures[figures.index("Margin call") + 1] == f"EUR {told['call_minor'] / 100:,.2f}"
    assert figures[figures.index("Cure by") + 1] != "—"
    assert violations(page) == []


def test_a_facility_tells_its_own_alerts_in_sentences_and_leads_to_them(page: Page, port: Port) -> None:
    turned_to(page, "facilities/facility-1")
    alerts = page.get_by_role("table", name="Alerts", exact=True)
    expect(alerts).to_contain_text(WARM)
    expect(alerts.get_by_role("link", name="Event " + breach_of(port))).to_be_visible()
    page.get_by_role("link", name="Open these in the inbox").click()
    arrived(page, "Alerts")
    expect(page.get_by_text("Only alerts of facility facility-1.")).to_be_visible()
    expect(page.get_by_role("table", name="Alerts", exact=True)).to_contain_text(WARM)
    page.get_by_role("link", name="All alerts").click()
    expect(page.get_by_text("Only alerts of")).to_have_count(0)


def test_an_alert_is_said_in_chinese_too(page: Page) -> None:
    turned_to(page, "alerts")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("table", name="警报")).to_contain_text(
        f"批次 {LOT}（{ASSET}）的温度为 9.10 °C；允许范围 2.00 °C – 8.00 °C"
    )
    expect(page.get_by_role("table", name="警报")).to_contain_text("授信额度 facility-1")
    assert violations(page) == []
    page.get_by_role("button", name="English").click()


def test_milestones_stand_in_order_of_time_drawn_and_as_a_table(page: Page, port: Port) -> None:
    turned_to(page, "milestones")
    drawing = page.get_by_role("img", name="Timeline")
    told = port.cloud.get("/milestones")
    met = next(one for one in told if one["met_ms"])
    assert met["id"] == "milestone-container-1"
    names = page.get_by_role("table", name="Milestones").get_by_role("rowheader").all_inner_texts()
    assert names == ["milestone-container-1", "milestone-mute", "milestone-holed"], "what was first comes first"
    said = drawing.get_attribute("aria-label") or ""
    assert "milestone-container-1: Met 2026-01-01 12:01Z" in said
    assert said.index("milestone-container-1") < said.index("milestone-mute") < said.index("milestone-holed")
    assert drawing.locator(".mark-met").count() == 1
    assert drawing.locator(".mark-expires").count() == 3
    x = [
        float(drawing.locator(one).first.get_attribute(name) or 0)
        for one, name in ((".mark-met", "cx"), (".mark-expires", "x"))
    ]
    assert x[0] < x[1], "time goes to the right"
    page.get_by_role("link", name="milestone-container-1").click()
    arrived(page, "Milestone milestone-container-1")
    assert page.get_by_role("img", name="Timeline").locator(".mark-held").count() >= 1
    page.get_by_role("link", name="3.0").or_(page.locator("ul.grounds a").first).first.click()
    arrived(page, "Event")


def test_the_fleet_says_when_it_was_heard_who_is_missed_and_what_is_missing(page: Page, port: Port) -> None:
    turned_to(page, "devices")
    well, holed, mute = (row_of(page, one) for one in ("container-1", "holed", "mute"))
    assert "2026-01-01 12:20Z" in well
    assert "in time" in well
    assert "3.65 V" in well
    assert "3 / 4" in well
    assert "no gap" in well
    assert "2–3" in holed, "exactly which are missing"
    assert "never heard" in mute
    expect(page.get_by_text("in time: 2 · overdue or silent: 1 · dark as planned: 0 · with gaps: 1")).to_be_visible()
    assert violations(page) == []


def completeness(**more: Any) -> dict[str, Any]:
    """How complete a device of the API's is, with nothing lost, and whatever else."""
    return {
        "received": 9,
        "expected": 9,
        "thinned": 0,
        "lost_at_least": 0,
        "refused": 0,
        "unsure": None,
        "spooled": 0,
        **more,
    }


@pytest.mark.parametrize(
    ("more", "text", "kind"),
    [
        ({}, "received 9 / 9, thinned 0, lost 0", "good"),
        (
            {"received": 1_234, "expected": 6_912, "thinned": 5_000, "lost_at_least": 1_234, "spooled": 4_444},
            "received 1,234 / 6,912, thinned 5,000, lost 1,234, still with the device 4,444",
            "bad",
        ),
        (
            {"unsure": "not_said", "spooled": None},
            "received 9 / 9, thinned 0, the device has not said what it holds",
            "warn",
        ),
        (
            {"expected": 16, "lost_at_least": 7, "refused": 5},
            "received 9 / 16, thinned 0, lost 7, of these refused by the device 5",
            "bad",
        ),
        ({"unsure": "ended_epoch"}, "received 9 / 9, thinned 0, how far an ended epoch went is not known", "warn"),
        (
            {"unsure": "ended_epoch", "expected": 12, "lost_at_least": 3},
            "received 9 / 12, thinned 0, lost at least 3, how far an ended epoch went is not known",
            "bad",
        ),
    ],
)
def test_what_is_not_known_is_never_shown_as_complete(page: Page, more: dict[str, Any], text: str, kind: str) -> None:
    assert said(page, "fleet", "complete", completeness(**more)) == {"text": text, "kind": kind}


@pytest.mark.parametrize(
    ("epochs", "more", "text", "kind"),
    [
        ([{"epoch": 1, "missing": []}], {}, "no gap", "good"),
        ([{"epoch": 1, "missing": []}], {"unsure": "not_said"}, "no gap seen", ""),
        ([{"epoch": 1, "missing": []}], {"lost_at_least": 1_500}, "lost 1,500", "bad"),
        ([{"epoch": 1, "missing": [[1_002, 1_003], [7, 7]]}], {}, "1,002–1,003, 7", "bad"),
        (
            [{"epoch": 1, "missing": [[2, 3]]}, {"epoch": 2, "missing": []}, {"epoch": 3, "missing": [[5, 6]]}],
            {},
            "Epoch 1: 2–3; Epoch 3: 5–6",
            "bad",
        ),
        ([], {"lost_at_least": 4}, "lost 4", "bad"),
        ([], {}, "—", ""),
    ],
)
def test_what_is_lost_is_no_device_without_a_gap(
    page: Page, epochs: list[Any], more: dict[str, Any], text: str, kind: str
) -> None:
    device = {"epochs": epochs, "completeness": completeness(**more)}
    assert said(page, "fleet", "missing", device) == {"text": text, "kind": kind}


def test_a_device_of_several_epochs_is_one_row(page: Page) -> None:
    epoch = {"missing": [], "signed": 1_000, "contiguous": 1_200, "received": 1_200, "suspicions": 600}
    device = {
        "device": "pi-7",
        "asset": "box",
        "operator": "line",
        "heard_ms": 0,
        "sources": [],
        "battery_mv": None,
        "epochs": [{"epoch": number, **epoch} for number in (1, 2)],
        "completeness": completeness(),
        "said": None,
    }
    call = """async given => [...(await import("/console/fleet.js")).fleetTable(given)
        .querySelectorAll("tbody tr")].map(row => row.innerText || row.textContent)"""
    (row,) = page.evaluate(call, [device])
    for text in ("Epoch 1: 1,000 / 1,200; Epoch 2: 1,000 / 1,200", "1,200has said nothing yet", "1, 2"):
        assert text in row


def test_a_device_is_one_row_and_counted_once_in_either_language(page: Page, port: Port) -> None:
    metrics = port.cloud.client.app.state.service.metrics
    metrics.note(metrics.hear([DeviceStatus("line", "container-1", Status(True, 0, 40_000, 1_000, "1.2"))]))  # noqa: FBT003
    metrics.note(metrics.hear([DeviceStatus("line", "container-1", Status(True, 1, 4, 0, "1.2"))]))  # noqa: FBT003
    try:
        turned_to(page, "alerts")
        turned_to(page, "devices")
        row = row_of(page, "container-1")
        assert "lost at least 40,000" in row, "nobody has said yet how the epoch before ended"
        assert "no gap" not in row
        expect(page.get_by_text("with gaps: 2")).to_be_visible()
        page.get_by_role("button", name="中文").click()
        expect(page.get_by_text("有缺失：2")).to_be_visible()
        assert "已收到 4 / 40,004，已精简 0，至少丢失 40,000" in row_of(page, "container-1")
        expect(page.get_by_role("rowheader")).to_have_count(3)
        assert violations(page) == []
        page.get_by_role("button", name="English").click()
        expect(page.get_by_text("with gaps: 2")).to_be_visible()
    finally:
        metrics.said.clear()
        metrics.ends.clear()


@pytest.mark.parametrize(
    ("sources", "text", "kind"),
    [
        ([], "never heard", "warn"),
        ([{"channel": None, "state": "live", "at_ms": 0}], "in time", "good"),
        ([{"channel": None, "state": "expected_dark", "at_ms": 0}], "dark as planned until 1970-01-01 00:00Z", "quiet"),
        (
            [
                {"channel": None, "state": "live", "at_ms": 0},
                {"channel": "temperature_mc", "state": "overdue", "at_ms": 0},
            ],
            "temperature overdue since 1970-01-01 00:00Z",
            "warn",
        ),
        (
            [
                {"channel": "temperature_mc", "state": "silent", "at_ms": 60_000},
                {"channel": None, "state": "silent", "at_ms": 0},
            ],
            "silent since 1970-01-01 00:00Z",
            "bad",
        ),
    ],
)
def test_how_a_device_is_heard_is_the_worst_of_it(page: Page, sources: list[Any], text: str, kind: str) -> None:
    assert said(page, "fleet", "hearing", sources) == {"text": text, "kind": kind}


@pytest.mark.parametrize(
    ("states", "text", "kind"),
    [
        (["kept", "kept"], "kept", "good"),
        (["kept", "unknown"], "b unknown", "warn"),
        (["unknown", "breached"], "b breached", "bad"),
        (["unknown"], "a unknown", "warn"),
        ([], "—", "quiet"),
    ],
)
def test_unknown_is_never_shown_as_kept(page: Page, states: list[str], text: str, kind: str) -> None:
    conditions = [{"limit": "ab"[place], "state": state, "breaches": 0} for place, state in enumerate(states)]
    assert said(page, "standing", "condition", {"properties": {"conditions": conditions}}) == {
        "text": text,
        "kind": kind,
    }


@pytest.mark.parametrize(
    ("ms", "text"),
    [(0, "0 min"), (59_999, "0 min"), (3_600_000, "1 h"), (3_660_000, "1 h 1 min"), (90_000_000, "1 days 1 h")],
)
def test_a_span_has_its_two_greatest_units(page: Page, ms: int, text: str) -> None:
    assert said(page, "spoken", "span", ms) == text


@pytest.mark.parametrize(
    ("channel", "value", "text"),
    [
        ("temperature_mc", 9_100, "9.10 °C"),
        ("temperature_1_mc", -18_000, "-18.00 °C"),
        ("battery_mv", 3_650, "3.65 V"),
        ("humidity_cpercent", 5_512, "55.1 %"),
        ("weight_g", 1_250_000, "1,250.0 kg"),
        ("tags_present", 40, "40"),
    ],
)
def test_a_value_has_the_unit_of_its_channel(page: Page, channel: str, value: int, text: str) -> None:
    assert said(page, "spoken", "measured", channel, value) == text


def test_what_is_short_of_a_receipt_is_said_with_its_case_and_so_is_a_zone(browser: Browser, tmp_path: Path) -> None:
    seeing = Seeing(tmp_path)
    seeing.pledge(FIRST, BANK)
    seeing.read(ZONE)
    seeing.keeping.row("sold", 25, minute=seeing.minute)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page = context.new_page()
    with served(seeing.client.app) as url:
        opened(page, url, "alerts", USERS["lender-one"].key)
        row = page.get_by_role("row").filter(has_text="stock-short")
        expect(row).to_contain_text(f"17 of 40 units of lot {HALL_LOT} (receipt {FIRST}) are missing in")
        expect(row.get_by_role("link", name=LINE)).to_be_visible()
        turned_to(page, f"lots/{HALL_LOT}")
        assert "23" in row_of(page, "Receipt, stock and count together")
        page.get_by_role("table", name="Trail of evidence").locator("a[href*='#/cases/']").first.click()
        arrived(page, "Case")
        assert violations(page) == []
        opened(page, url, "", USERS["lender-one"].key)
        zone = seeing.get("lender-one", "/assets")["features"][0]
        assert zone["properties"]["measured_at_ms"] is None
        assert "2026-" in row_of(page, zone["id"], "Assets"), "a zone's newest reading is of no fix"
        opened(page, url, f"lots/{HALL_LOT}", USERS["insurer-one"].key)
        expect(page.get_by_role("table", name="Age of evidence")).to_be_visible()
        expect(page.get_by_role("table", name="Trail of evidence")).to_have_count(0)
        assert "Value" not in page.locator("main").inner_text()
        context.close()
    seeing.close()


def said(page: Page, module: str, name: str, *given: Any) -> Any:
    """What a function of the console answers."""
    call = """async ([module, name, given]) => (await import(`/console/${module}.js`))[name](...given)"""
    return page.evaluate(call, [module, name, given])
