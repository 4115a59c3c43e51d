"""The console in a real browser: each page's main act, who asks, what changes while one looks, and what axe finds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import TOKEN, ApiCloud
from browsing import HOUR_MS, HOURS, Fleet, arrived, has_become, opened, served, turned_to, violations
from builders import MINUTE_MS, NOON_MS, Device, book_document, position, temperature
from playwright.sync_api import Browser, Page, expect
from pypdfium2 import PdfDocument
from receipting import BANK, FIRST
from seeing import HALL_LOT, OPERATOR, USERS, Seeing

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.moments import iso

LOOKED_AT = ["assets/asset-coral", "facilities/facility-1", "", "alerts"]
MORE = ["lots/lot-coral", "milestones", "devices", "milestones/milestone-amber", "receipts"]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
MARK = """id => {
    const map = document.querySelector(".map"), box = map.getBoundingClientRect();
    for (let y = box.top + 6; y < box.bottom; y += 8)
        for (let x = box.left + 6; x < box.right; x += 8) {
            const under = document.elementFromPoint(x, y) ?? map;
            under.dispatchEvent(new MouseEvent("mousemove", { clientX: x, clientY: y, bubbles: true }));
            if (map.title === id) return [x, y];
        }
}"""
"""Where on the screen the map tells an asset's name."""
NOT_SEEN = "There is nothing of that name, or it is not yours to see."


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of its own, which asks nobody else and where nothing goes wrong."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    made = context.new_page()
    hosts: set[str] = set()
    faults: list[str] = []
    made.on("request", lambda one: hosts.add(one.url.split("/")[2] if "://" in one.url else ""))
    made.on("pageerror", lambda error: faults.append(str(error)))
    made.on("console", lambda one: faults.append(one.text) if "Content Security" in one.text else None)
    yield made
    context.close()
    assert len(hosts) <= 1, hosts
    assert not faults


def test_a_key_is_asked_for_and_kept_for_the_tab_alone(page: Page, url: str) -> None:
    page.goto(url)
    field = page.locator("#key")
    expect(field).to_be_focused()
    assert violations(page) == []
    field.fill("pwk_wrong")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("This key is not known.")).to_be_visible()
    page.locator("#key").fill(TOKEN)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("#who")).to_have_text("keeper")
    assert TOKEN not in page.url
    assert TOKEN not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
    page.get_by_role("button", name="Forget the key").click()
    expect(page.locator("#key")).to_be_visible()


def test_the_overview_finds_an_asset_and_its_mark_on_the_map_opens_it(page: Page, url: str) -> None:
    opened(page, url)
    expect(page.locator("table").last.locator("tbody tr")).to_have_count(5)
    page.get_by_label("Find").fill("ONYX")
    expect(page.get_by_role("link", name="asset-onyx")).to_be_visible()
    expect(page.get_by_role("link", name="asset-amber")).to_have_count(0)
    place = page.evaluate(MARK, "asset-pearl")
    assert place, "its mark tells its name"
    page.mouse.click(*place)
    arrived(page, "Asset asset-pearl")
    assert page.url.endswith("#/assets/asset-pearl")


def test_an_asset_shows_its_way_its_temperatures_and_where_nothing_was_read(page: Page, url: str) -> None:
    opened(page, url, "assets/asset-coral")
    chart = page.locator("svg.chart")
    said = chart.get_attribute("aria-label") or ""
    assert "6 beyond a limit; 0 × doubtful reading; 1 × no readings" in said
    assert chart.locator(".hole").count() == 1
    assert (chart.locator(".stroke").get_attribute("d") or "").count("M") == 2, "the line is open over the gap"
    kinds = page.evaluate(
        """async () => {
            const { asset } = await import("/console/things.js");
            return (await asset.load("asset-amber")).pieces.map(one => [one.kind, one.way.at(-1)[0] > 180]);
        }"""
    )
    assert kinds == [["seen", False], ["dark", True], ["seen", True]], "across the 180th meridian it goes on"


def test_the_two_clocks_show_the_base_of_another_moment(page: Page, url: str) -> None:
    opened(page, url, "facilities/facility-1")
    chart = page.get_by_role("img", name="How the base comes about")
    assert "Base USD 500,000.00; Outstanding USD 420,000.00" in (chart.get_attribute("aria-label") or "").replace(
        "\xa0", " "
    )
    known_at = page.get_by_label("By what was known at", exact=True)
    with page.expect_response(lambda one: "known_at=" in one.url) as answer:
        known_at.focus()
        known_at.press("Home")
    assert answer.value.status in (200, 422)
    assert page.get_by_label("As of", exact=True).input_value() == "0", "what was only after it nobody knew then"
    with page.expect_response(lambda one: "as_of=" in one.url):
        known_at.press("End")
    expect(page.get_by_text("As of 2026-01-01", exact=False)).to_be_visible()
    page.get_by_role("button", name="Now").click()
    expect(page.get_by_label("As of", exact=True)).to_have_value("1000")


def test_an_alert_is_taken_on(page: Page, url: str) -> None:
    opened(page, url, "alerts")
    page.get_by_label("Your name").fill("Kim")
    page.get_by_role("button", name="Acknowledge").first.click()
    expect(page.get_by_role("cell", name="Kim")).to_be_visible()
    expect(page.get_by_role("cell", name="taken on")).to_be_visible()


def test_an_alert_is_commented_on_and_put_aside_until_a_moment(page: Page, url: str) -> None:
    page.clock.set_fixed_time((NOON_MS + HOURS * 3_600_000) / 1_000)
    opened(page, url, "alerts")
    page.get_by_label("Your name").fill("Kim")
    row = page.get_by_role("row").nth(1)
    name = row.get_by_role("rowheader").inner_text()
    row.get_by_text("Comments (0)").click()
    page.get_by_role("button", name=f"Silence {name}").click()
    expect(page.get_by_role("alert")).to_have_text("Write a comment, or why it is silenced.")
    page.get_by_label("Comment, or reason of a silence").fill("The plug was loose.")
    page.get_by_role("button", name=f"Comment {name}").click()
    expect(page.get_by_text("Kim: The plug was loose.")).to_be_visible()
    page.get_by_label("Comment, or reason of a silence").fill("It is mended on Monday.")
    page.get_by_role("button", name=f"Silence {name}").click()
    expect(page.get_by_role("rowheader", name=name)).to_have_count(0)
    page.get_by_label("with silenced ones (1)").check()
    expect(page.get_by_role("rowheader", name=name)).to_be_visible()
    expect(page.get_by_text("It is mended on Monday. (Kim)")).to_be_visible()
    assert violations(page) == []
    page.get_by_label("Comment, or reason of a silence").fill("It is mended.")
    page.get_by_role("button", name=f"Lift the silence {name}").click()
    expect(page.get_by_label("with silenced ones (0)")).to_be_visible()


def test_the_loan_to_value_is_drawn_over_time(page: Page, url: str) -> None:
    opened(page, url, "facilities/facility-1")
    chart = page.get_by_role("img", name="LTV over time")
    told = page.evaluate(
        """async () => {
            const headers = { authorization: `Bearer ${sessionStorage.getItem("key")}` };
            return (await fetch("facilities/facility-1/ltv", { headers })).json();
        }"""
    )
    line = chart.locator(".stroke").get_attribute("d") or ""
    assert line.count("H") == sum(one["ltv_bp"] is not None for one in told["bases"]) > 1
    assert chart.locator(".hole").count() == sum(one["ltv_bp"] is None for one in told["bases"])
    assert chart.locator(".limit").count() == sum(one is not None for one in told["levels"].values())
    assert chart.locator(".breach").count() == len(told["calls"])
    page.locator("summary", has_text="LTV as a table").click()
    expect(page.get_by_role("table", name="LTV as a table")).to_be_visible()


def test_devices_and_milestones_tell_what_they_wait_for(page: Page, url: str) -> None:
    opened(page, url, "devices")
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="amber"))
    expect(row).to_contain_text("no gap")
    opened(page, url, "milestones")
    drawing = page.get_by_role("img", name="Timeline")
    now = iso(NOON_MS + HOURS * HOUR_MS).replace("T", " ")[:16] + "Z"
    expect(drawing.locator("text.soft")).to_have_text(["Now", now])  # the service's: the browser's is another year's
    page.get_by_role("link", name="milestone-amber").click()
    expect(page.get_by_text("has not been seen by a good fix to have entered los-angeles")).to_be_visible()


def test_language_and_light_are_kept(page: Page, url: str) -> None:
    opened(page, url, "alerts")
    page.get_by_role("button", name="中文").click()
    arrived(page, "警报")
    page.get_by_role("button", name="深色").click()
    page.reload()
    arrived(page, "警报")
    assert page.evaluate("document.documentElement.lang + document.documentElement.dataset.theme") == "zh-Hansdark"
    assert violations(page) == []


def test_what_changes_is_drawn_and_the_focus_stays(page: Page, url: str, fleet: Fleet) -> None:
    page.clock.install()
    opened(page, url, "devices")
    link = page.get_by_role("link", name="asset-jade")
    link.focus()
    sequence = reading(fleet, "jade", 5_000)
    page.clock.run_for(6_000)
    row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="jade"))
    expect(row).to_contain_text(str(sequence))
    expect(page.get_by_role("link", name="asset-jade")).to_be_focused()


def test_what_is_open_and_in_focus_stays_so_while_readings_arrive(page: Page, url: str, fleet: Fleet) -> None:
    page.clock.install()
    opened(page, url, "assets/asset-pearl")
    summary = page.locator("summary", has_text="Temperatures as a table")
    summary.focus()
    summary.press("Enter")
    reading(fleet, "pearl", 6_060)
    page.clock.run_for(6_000)
    expect(page.get_by_role("cell", name="6.06")).to_be_visible()
    expect(summary).to_be_focused()


def test_each_alert_has_its_own_draft_and_a_name_is_kept_as_it_is_written(page: Page, url: str, fleet: Fleet) -> None:
    page.clock.install()
    opened(page, url, "alerts")
    page.get_by_label("with cleared ones").check()
    expect(page.get_by_role("row")).to_have_count(3)
    first, second = (page.get_by_role("row").nth(place) for place in (1, 2))
    name = second.get_by_role("rowheader").inner_text()
    for row in (first, second):
        row.get_by_text("Comments (").click()
    page.get_by_label("Your name").fill("Kim Lo")
    text = first.get_by_role("textbox")
    text.fill("of the first")
    second.get_by_text("Comments (").press("Tab")
    text.press("End")
    text.press_sequentially(" alone")
    say = {"by": "another", "text": "Seen."}
    answer = fleet.cloud.client.post(f"/alerts/{name}/comments", json=say, headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    page.clock.run_for(6_000)
    expect(second.get_by_text("another: Seen.")).to_be_visible()
    expect(text).to_be_focused()
    expect(text).to_have_value("of the first alone")
    expect(second.get_by_role("textbox")).to_have_value("")
    expect(page.get_by_label("Your name")).to_have_value("Kim Lo")
    second.get_by_role("button", name=f"Comment {name}").click()
    expect(page.get_by_role("alert")).to_have_text("Write a comment, or why it is silenced.")
    first.get_by_role("button", name="Comment").click()
    expect(first.get_by_text("Kim Lo: of the first alone")).to_be_visible()
    expect(text).to_have_value("")


def test_a_silence_is_as_long_as_was_chosen(page: Page, url: str) -> None:
    page.clock.set_fixed_time((NOON_MS + HOURS * 3_600_000) / 1_000)
    sent: list[Any] = []

    def keep(route: Any) -> None:
        sent.append(route.request.post_data_json)
        route.abort()

    page.route("**/silence", keep)
    opened(page, url, "alerts")
    row = page.get_by_role("row").nth(1)
    row.get_by_text("Comments (").click()
    row.get_by_role("textbox").fill("Known.")
    row.get_by_role("combobox").select_option("3 days")
    row.get_by_role("button", name="Silence").click()
    expect(page.get_by_role("alert")).not_to_be_empty()
    assert sent[0]["until"] == iso(NOON_MS + (HOURS + 72) * 3_600_000 - 1_000, always_milliseconds=True)


def test_an_exact_moment_is_taken_and_stays_while_time_goes_on(page: Page, url: str, fleet: Fleet) -> None:
    page.clock.install()
    opened(page, url, "facilities/facility-1")
    shown = page.locator("output[for=as_of]")
    with page.expect_response(lambda one: "as_of=2026-01-02T23%3A59%3A59.000Z" in one.url):
        page.get_by_label("As of: exact moment, UTC").fill("2026-01-02T23:59:59")
        page.get_by_label("As of: exact moment, UTC").blur()
        page.clock.run_for(1_000)
    expect(shown).to_have_text("2026-01-02 23:59Z")
    place = page.get_by_label("As of", exact=True).input_value()
    fleet.cloud.clock.at_ms += 20 * 3_600_000
    reading(fleet, "pearl", 5_000)
    page.clock.run_for(6_000)
    expect(page.locator("output[for=known_at]")).not_to_have_text("Now (2026-01-05 12:00Z)")
    expect(shown).to_have_text("2026-01-02 23:59Z")
    assert page.get_by_label("As of", exact=True).get_attribute("aria-valuetext") == "2026-01-02 23:59Z"
    assert page.get_by_label("As of", exact=True).input_value() < place, "it lies farther back in what there is now"


def test_a_list_is_asked_for_and_drawn_page_by_page(page: Page, url: str) -> None:
    asked: list[str] = []

    def two(route: Any) -> None:
        asked.append(route.request.url)
        route.continue_(url=route.request.url.replace("limit=100", "limit=2"))

    page.route("**/devices?*", two)
    opened(page, url, "devices")
    heads = page.get_by_role("rowheader")
    seen = heads.all_inner_texts()
    for number in (2, 3):
        page.get_by_role("button", name="Next page").click()
        expect(page.get_by_text(f"Page {number}")).to_be_visible()
        seen += heads.all_inner_texts()
    assert seen == ["amber", "coral", "jade", "onyx", "pearl"]
    expect(page.get_by_role("button", name="Next page")).to_have_count(0)
    page.get_by_role("button", name="Page before").click()
    expect(heads).to_have_text(["jade", "onyx"])
    assert all("limit=100" in one for one in asked), "no page asks for more than it shows"


MAP = """async () => {
    const { makeMap } = await import("/console/map.js"), host = document.createElement("div");
    host.className = "map";
    document.querySelector("main").replaceChildren(host);
    const made = makeMap(host, "Pacific", () => {});
    made.map.setView([20, 179], 7, { animate: false });
    const geometry = { type: "Point", coordinates: [-179, 21] };
    const fence = { type: "Feature", id: "<b>x</b><form>", properties: { radius_m: 5000 }, geometry };
    made.setFences({ type: "FeatureCollection", features: [fence] });
    made.setTrail([{ kind: "gap", way: [[-180, 18], [-179, 18]] }]);
    const mark = (east, state) => ({ id: "", at: [east, 20], state, count: 5 });
    made.setMarks([mark(-179, "bad"), mark(178, "live")]);
    await new Promise(drawn => setTimeout(drawn, 500));
    const canvas = host.querySelector(".leaflet-points-pane canvas"), box = canvas.getBoundingClientRect();
    const wide = host.getBoundingClientRect(), scale = canvas.width / box.width, radius = 11 + 3 * Math.log10(5);
    const rim = (place, reach) => {
        const at = made.map.latLngToContainerPoint(place);
        const x = (at.x + wide.left - box.left - reach * radius) * scale, y = (at.y + wide.top - box.top) * scale;
        return [...canvas.getContext("2d").getImageData(Math.round(x), Math.round(y), 1, 1).data].slice(0, 3);
    };
    const told = [...host.querySelectorAll(".leaflet-tooltip")];
    const isInside = ({ left, right }) => left > wide.left && right < wide.right;
    const inside = told.filter(one => isInside(one.getBoundingClientRect()));
    return {
        bad: rim([20, 181], 1.4), live: rim([20, 178], 1), names: inside.map(one => one.textContent),
        markup: told.flatMap(one => [...one.querySelectorAll("b, form")]).length,
    };
}"""


def test_the_pacific_is_whole_a_rim_is_red_and_a_fence_s_name_is_text(page: Page, url: str) -> None:
    opened(page, url, "receipts")
    found = page.evaluate(MAP)
    assert found["names"] == ["<b>x</b><form>"]
    assert found["markup"] == 0
    red, green, blue = found["bad"]
    assert red > 150 > max(green, blue), "the rim of what is breached, beyond the 180th meridian"
    assert min(found["live"]) > 200, "the rim of what is not is the ground's"


def test_a_reading_in_doubt_is_a_ring_that_no_line_joins(page: Page, url: str) -> None:
    opened(page, url, "receipts")
    found = page.evaluate(
        """async () => {
            const { channel } = await import("/console/chart.js");
            const points = [[0, 5000, "good"], [6e4, 9000, "suspect"], [12e4, 5100, "good"], [18e4, 9100, "good"]];
            const chart = channel([{ device: "one", points }], [{ low: 2000, high: 8000 }], "T", "C");
            const many = kind => chart.querySelectorAll(kind).length;
            const line = chart.querySelector(".stroke").getAttribute("d").replace(/[^ML]/g, "");
            return [many(".doubt"), many(".breach"), line];
        }"""
    )
    assert found == [1, 1, "MLL"]


def test_a_call_without_a_ratio_is_the_worst_and_not_the_best(page: Page, url: str) -> None:
    opened(page, url, "receipts")
    dots = page.evaluate(
        """async () => {
            const { ltv } = await import("/console/chart.js");
            const base = (at, bp) => ({ at_ms: at, until_ms: at + 10, ltv_bp: bp });
            const call = at => ({ at_ms: at, call_minor: 500 });
            const chart = ltv({
                bases: [base(0, 6000), base(10, null), base(20, 9000)], calls: [call(5), call(15), call(25)],
                levels: { call_bp: 8000 }, until_ms: 30, currency: "USD",
            });
            return [...chart.querySelectorAll(".breach")].map(one => [Number(one.getAttribute("cy")), one.textContent]);
        }"""
    )
    heights = [height for height, _ in dots]
    assert heights[1] < heights[2] < heights[0], "the higher, the worse"
    assert ["no ratio" in text for _, text in dots] == [False, True, False]


def test_several_thermometers_have_a_line_and_gaps_each(page: Page, tmp_path: Path) -> None:
    """Four of a hall that read at the same moments: one is silent for nine hours, while which the others go on."""
    cloud = ApiCloud(tmp_path, at_ms=NOON_MS - MINUTE_MS, token=TOKEN)
    warmth = {"hot": 25_000, "cold": -18_000, "mild": 5_000, "wet": 10_000}
    devices = [Device(name, seed=place + 1) for place, name in enumerate(warmth)]
    document = {"installations": [one | {"asset": "hall"} for one in book_document(*devices)["installations"]]}
    cloud.spine.commit(drafts.amend, document)
    for hour in range(24):
        at_ms = cloud.clock.at_ms = NOON_MS + hour * HOUR_MS
        for one in devices:
            if one.name != "mild" or not 6 <= hour < 14:
                cloud.spine.take([one.arrival([one.measure(at_ms, temperature(warmth[one.name] + 10 * hour))])])
    cloud.feeder.catch_up()
    with served(cloud.client.app) as url:
        opened(page, url, "assets/hall")
        chart = page.get_by_role("img", name="Temperature: ")
        said = str(chart.get_attribute("aria-label"))
        assert "cold: 24, -18.0 – -17.8 °C; 0 beyond a limit; 0 × doubtful reading; 0 × no readings; " in said
        assert "mild: 16, 5.0 – 5.2 °C; 0 beyond a limit; 0 × doubtful reading; 1 × no readings; " in said
        lines = chart.locator(".stroke")
        assert lines.locator("title").all_text_contents() == ["cold", "hot", "mild", "wet"]
        drawn = lines.evaluate_all("lines => lines.map(one => one.getAttribute('d').replace(/[^ML]/g, ''))")
        assert [one.count("M") for one in drawn] == [1, 1, 2, 1]
        assert [len(one) for one in drawn] == [24, 24, 16, 24]
        expect(chart.locator(".hole title")).to_have_text(["mild: no readings 2026-01-01 17:00Z – 2026-01-02 02:00Z"])
        assert chart.locator(".hole").evaluate("one => one.height.baseVal.value") < 40, "the others have read"
        dashed = "lines => new Set(lines.map(one => getComputedStyle(one).strokeDasharray)).size"
        assert lines.evaluate_all(dashed) == 4, "told apart without colours"
        signs = page.locator("ul.legend li").filter(has=page.locator(".stroke"))
        expect(signs).to_have_text(["trail", "cold", "hot", "mild", "wet"])
        assert violations(page) == []
    cloud.close()


def test_paper_has_a_light_map_and_nothing_to_press(browser: Browser, url: str) -> None:
    context = browser.new_context(color_scheme="dark", locale="en-GB")
    page = context.new_page()
    opened(page, url, "assets/asset-amber")
    page.wait_for_function("document.querySelector('.leaflet-ground-pane canvas')")
    page.evaluate(
        """() => addEventListener("afterprint", () => {
            const canvas = document.querySelector(".leaflet-ground-pane canvas");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            window.land = data.filter((_, place) => place % 4 === 0 && data[place + 3] === 255);
            window.land = window.land.reduce((sum, one) => sum + one, 0) / window.land.length;
        })"""
    )
    page.pdf()
    assert page.evaluate("window.land") > 200
    assert page.evaluate("document.documentElement.dataset.theme") == "dark", "and the screen is dark again"
    page.emulate_media(media="print")
    for hidden in ("nav", "#tools", "button >> nth=0"):
        expect(page.locator(hidden)).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") == "rgb(0, 0, 0)"
    context.close()


PRINTED = """async () => {
    const { makeMap } = await import("/console/map.js"), host = document.createElement("div");
    host.className = "map";
    document.body.replaceChildren(host);
    const made = makeMap(host, "Atlantic", () => {});
    const way = east => [[east, -20], [east, 40]];
    made.setTrail([{ kind: "seen", way: way(-30) }, { kind: "dark", way: way(-40) }]);
    const mark = (state, place) => ({ id: state, at: [-20, 30 * place - 30], state, count: 1 });
    made.setMarks(["live", "dark", "bad"].map(mark));
    made.fit([[-75, -40], [40, 45]]);
    await new Promise(drawn => setTimeout(drawn, 1000));
    const view = () => [made.map.getZoom(), made.map.getCenter().lng, host.clientWidth, host.clientHeight];
    const at = place => { const { x, y } = made.map.latLngToContainerPoint(place); return [x, y]; };
    window.before = view();
    addEventListener("beforeprint", () => {
        window.printed = {
            size: [host.clientWidth, host.clientHeight], sahara: at([22, 5]), amazon: at([-8, -60]),
            ocean: at([35, -50]), seen: at([0, -30]), live: at([-30, -20]), dark: at([0, -20]), bad: at([30, -20]),
        };
        window.dashes = [...Array(40).keys()].map(one => at([one / 2, -40]));
    });
    addEventListener("afterprint", () => { window.after = view(); });
}"""


@pytest.mark.parametrize(("wide", "theme"), [(1280, "dark"), (360, "light")])
def test_a_map_on_paper_is_whole_and_its_marks_are_told_apart_without_colours(
    browser: Browser, url: str, wide: int, theme: Any
) -> None:
    """The page as it is printed, drawn again: a pixel of it is one of the style sheet's."""
    page = browser.new_page(viewport={"width": wide, "height": 800}, color_scheme=theme, locale="en-GB")
    opened(page, url, "receipts")
    page.evaluate(PRINTED)
    paper = PdfDocument(page.pdf(format="A4", print_background=False, margin={"left": "1cm", "right": "1cm"}))
    sheet = paper[0].render(scale=96 / 72).to_pil().convert("RGB")
    told = page.evaluate("window.printed")
    margin = round(96 / 2.54)
    width, height = told["size"]
    assert 600 < width < sheet.width - 2 * margin
    assert height > 300

    def colour(at: list[float]) -> tuple[int, int, int]:
        found = sheet.getpixel((margin + round(at[0]), round(at[1])))
        assert isinstance(found, tuple)
        return found[0], found[1], found[2]

    def is_black(name: str, right: float, down: float) -> bool:
        x, y = told[name]
        return max(colour([x + right, y + down])) < 100

    for name in ("sahara", "amazon"):
        assert min(colour(told[name])) > 225, "land"
        assert colour(told[name]) != (255, 255, 255), "and no white box over it"
    assert colour(told["ocean"])[2] > colour(told["ocean"])[0] + 8, "the sea is none"
    assert is_black("seen", 0, 0), "a way"
    dashes = [max(colour(one)) < 100 for one in page.evaluate("window.dashes")]
    assert {True, False} == set(dashes), "a dark leg is dashed"
    # The middle of each mark, its top beyond a circle, and its corner.
    looks = {name: [is_black(name, *at) for at in ((0, 0), (0, -7.5), (4.3, -4.3))] for name in ("live", "dark", "bad")}
    assert looks == {"live": [True, False, False], "dark": [True, False, True], "bad": [True, True, True]}
    after, before = page.evaluate("[window.after, window.before]")
    assert after == pytest.approx(before, abs=0.5), "the screen has what it had, to a pixel"
    page.close()


def test_what_marks_of_the_map_mean_is_on_paper(page: Page, url: str) -> None:
    opened(page, url)
    page.emulate_media(media="print")
    signs = page.locator("ul.legend").first
    expect(signs).to_be_visible()
    expect(signs).to_have_text("in timedark as plannedwarningbreached or silentfence")
    shapes = signs.locator("path").evaluate_all("signs => signs.map(one => one.getAttribute('d'))")
    assert len(set(shapes)) == 4
    expect(page.get_by_role("button")).to_have_count(0)
    expect(page.locator("#find")).to_be_hidden()


def test_a_phone_shows_each_amount_whole(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, locale="zh-CN")
    page = context.new_page()
    opened(page, url, "facilities/facility-1")
    chart = page.get_by_role("img", name="借款基数的形成")
    amounts = [one.replace("\xa0", " ") for one in chart.locator(".amount").all_text_contents()]
    assert amounts[0] == "USD 1,000,000.00"
    assert len(amounts) == chart.locator("rect").count()
    whole = """[...document.querySelectorAll('.figures dd')].map(one => {
        const range = document.createRange(); range.selectNodeContents(one);
        return new Set([...range.getClientRects()].map(box => box.top)).size;
    })"""
    page.evaluate("document.querySelector('.figures dd').textContent = 'CNY\u00a0-123,144,019.50'")
    assert set(page.evaluate(whole)) == {1}
    turned_to(page, "alerts")
    page.locator("summary").first.click()
    over = """[...document.querySelectorAll("main textarea, main select")]
        .filter(one => one.getBoundingClientRect().right > 350).length"""
    assert page.evaluate(over) == 0
    context.close()


def test_a_service_that_is_away_is_waited_for_and_what_is_not_there_is_not(page: Page, url: str) -> None:
    page.clock.install()
    opened(page, url, "receipts/ghost")
    expect(page.get_by_text(NOT_SEEN)).to_be_visible()
    page.locator("#theme").focus()
    page.clock.run_for(6_000)
    expect(page.locator("#theme")).to_be_focused()
    page.route("**/devices?*", lambda route: route.abort())
    turned_to(page, "devices")
    expect(page.get_by_text("the service does not answer")).to_be_visible()
    page.unroute("**/devices?*")
    page.clock.run_for(6_000)
    expect(page.get_by_role("rowheader", name="amber")).to_be_visible()  # its heading was there without the service


def test_a_stream_of_changes_is_followed_from_where_it_broke_off(page: Page, url: str) -> None:
    asked: list[dict[str, str]] = []

    def answer(route: Any) -> None:
        asked.append(route.request.headers)
        route.fulfill(status=200, content_type="text/event-stream", body="id: 41\ndata: {}\n\nid: 42\ndata: {}\n\n")

    page.route("**/live", answer)
    opened(page, url, "devices")
    with page.expect_request(lambda one: "/devices?" in one.url):  # which is what a change leads to
        pass
    has_become(page, lambda: len(asked) >= 2)
    assert asked[0]["authorization"] == f"Bearer {TOKEN}"
    assert "last-event-id" not in asked[0]
    assert asked[1]["last-event-id"] == "42"


def test_who_lends_sees_lot_and_receipt_and_another_does_not(page: Page, tmp_path: Path) -> None:
    seeing = Seeing(tmp_path)
    seeing.pledge(FIRST, BANK)
    with served(seeing.client.app) as url:
        opened(page, url, f"lots/{HALL_LOT}", USERS["lender-one"].key)
        expect(page.locator("#who")).to_contain_text("lender-one")
        page.get_by_role("link", name=FIRST).first.click()
        arrived(page, f"Receipt {FIRST}")
        acts = page.locator("ol.trail > li")
        expect(acts).to_have_count(1)  # the pledge: what was before it is not the lender's to see
        acts.first.get_by_text("the act as it was signed").click()
        expect(acts.first.locator("pre")).to_contain_text('"pledgee"')
        assert violations(page) == []
        opened(page, url, f"receipts/{FIRST}", USERS["lender-two"].key)
        expect(page.get_by_text(NOT_SEEN)).to_be_visible()
        opened(page, url, "", USERS["operator-one"].key)
        expect(page.get_by_role("columnheader", name="Base")).to_have_count(0)
    seeing.close()


def test_an_alert_about_no_goods_offers_to_a_bank_nothing_that_is_refused(page: Page, tmp_path: Path) -> None:
    seeing = Seeing(tmp_path)
    seeing.fall_silent()
    with served(seeing.client.app) as url:
        for user, many in (("lender-one", 0), ("operator-one", 1)):
            opened(page, url, "alerts", USERS[user].key)
            row = page.get_by_role("row").nth(1)
            expect(row.get_by_role("button", name="Acknowledge")).to_have_count(many)
            expect(row.get_by_role("cell", name=f"for {OPERATOR}", exact=True)).to_have_count(1 - many)
            row.get_by_text("Comments (0)").click()
            expect(row.get_by_role("textbox")).to_have_count(many)
    seeing.close()


def test_no_page_has_a_serious_fault_for_who_does_not_see_or_points(browser: Browser, url: str) -> None:
    assert_sound(browser, url, "light", WIDE, [*LOOKED_AT, *MORE])


def test_a_phone_in_the_dark_has_none_of_colours_and_sizes(browser: Browser, url: str) -> None:
    assert_sound(browser, url, "dark", PHONE, LOOKED_AT, "color-contrast", "target-size")


def test_the_page_of_operations_has_none(page: Page, url: str) -> None:
    page.goto(f"{url}/docs")
    expect(page.get_by_role("heading", name="alerts")).to_be_visible()
    assert violations(page) == []


def reading(fleet: Fleet, name: str, warm_mc: int) -> int:
    """A reading of now from a device; the number that it has."""
    device = next(one for one in fleet.devices if one.name == name)
    cells = *position((-30 * 10**7, 170 * 10**7)), temperature(warm_mc)
    fleet.cloud.spine.take([device.arrival([device.measure(fleet.cloud.clock.at_ms, *cells)])])
    fleet.cloud.feeder.catch_up()
    return device.sequence


def assert_sound(browser: Browser, url: str, scheme: Any, size: Any, places: list[str], *rules: str) -> None:
    """No page has a fault by these rules, by default by all, and none is wider than the screen."""
    context = browser.new_context(color_scheme=scheme, viewport=size, locale="en-GB")
    page = context.new_page()
    opened(page, url, "receipts")
    for place in places:
        turned_to(page, place)
        assert violations(page, *rules) == [], place
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], f"{place} is wider than its page"
    context.close()
