"""The console on a phone and on a desk, light and dark, in both languages: what must be read is large enough, whole and
where it belongs. Looked at in a real browser, by where things are drawn."""

from collections.abc import Iterator
from typing import Any

import pytest
from browsing import Fleet, opened, turned_to, violations
from playwright.sync_api import Browser, Page, ViewportSize

PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1280, "height": 800}
SCREENS: list[tuple[ViewportSize, Any, str]] = [
    (PHONE, "light", "en-GB"),
    (PHONE, "dark", "zh-CN"),
    (DESK, "light", "zh-CN"),
    (DESK, "dark", "en-GB"),
]
TEXT_MIN_PX = 11
LINES_MAX = 5
"""Of a cell of the table of devices."""
TEXTS = """() => [...document.querySelectorAll("main svg.chart")].flatMap(chart => {
    const { left, right } = chart.getBoundingClientRect(), scale = chart.getScreenCTM().a;
    return [...chart.querySelectorAll("text")].map(one => {
        const box = one.getBoundingClientRect();
        const px = scale * parseFloat(getComputedStyle(one).fontSize);
        return [one.textContent, px, box.left >= left && box.right <= right];
    });
})"""
"""Every text of the drawings: what it says, how large it is on the screen, whether all of it is within."""


@pytest.fixture(scope="module", params=SCREENS, ids=["phone", "phone, dark, zh", "desk, zh", "desk, dark"])
def page(request: pytest.FixtureRequest, browser: Browser, url: str) -> Iterator[Page]:
    """A console that is open for the keeper on one of the screens."""
    size, scheme, locale = request.param
    context = browser.new_context(viewport=size, color_scheme=scheme, locale=locale)
    made = context.new_page()
    opened(made, url, "receipts")
    yield made
    context.close()


@pytest.mark.parametrize("place", ["milestones", "milestones/milestone-amber", "assets/asset-coral"])
def test_the_text_of_a_drawing_is_large_enough_and_whole(page: Page, place: str) -> None:
    turned_to(page, place)
    texts = page.evaluate(TEXTS)
    assert len(texts) >= 5
    assert [one for one in texts if one[1] < TEXT_MIN_PX or not one[2]] == []


def test_a_milestone_that_waits_stands_in_the_timeline(page: Page, fleet: Fleet) -> None:
    turned_to(page, "milestones")
    drawing = page.locator("svg.timeline")
    told = drawing.locator("text").all_text_contents()
    pending = page.evaluate("""async () => (await import("/console/words.js")).t("milestone_pending")""").split()[-1]
    for one in fleet.devices:
        assert f"milestone-{one.name} · {pending}" in told
    assert drawing.locator(".mark-open").count() == len(fleet.devices)
    now, rings = page.evaluate(
        """() => [".limit", ".mark-open"].map(one => {
            const { left, right } = document.querySelector(`svg.timeline ${one}`).getBoundingClientRect();
            return (left + right) / 2;
        })"""
    )
    assert rings == pytest.approx(now, abs=1), "it has not come by now"
    turned_to(page, "milestones/milestone-amber")
    assert drawing.locator(".mark-open").count() == 3, "its own, and of each fact that does not hold yet"


def test_a_milestone_that_was_met_has_no_ring_and_the_last_of_many_are_drawn(page: Page) -> None:
    turned_to(page, "receipts")
    drawn = page.evaluate(
        """async () => {
            const { milestonesOf } = await import("/console/timeline.js");
            const one = (id, state, more) => ({ id, state, facility: "f", payee: "p", amount_minor: 0, ...more });
            const hour = 3600000, some = [...Array(60).keys()].map(at => one(`m${at}`, "met", { met_ms: at * hour }));
            const [drawing] = milestonesOf([
                one("b", "pending", { expires_ms: 90 * hour }), one("c", "expired", { expires_ms: 70 * hour }),
                one("a", "waiting", {}), one("d", "waived", {}), ...some,
            ], () => "", 80 * hour);
            document.querySelector("main").append(drawing);
            const rows = [...drawing.querySelectorAll("text:not(.soft)")].map(text => text.textContent.split(" ")[0]);
            return [rows, drawing.querySelectorAll(".mark-open").length];
        }"""
    )
    assert drawn == [[*(f"m{at}" for at in range(24, 60)), "c", "b", "a", "d"], 2]


def test_a_name_that_is_too_long_is_cut_and_what_it_waits_for_is_not(page: Page) -> None:
    turned_to(page, "receipts")
    told = page.evaluate(
        """async () => {
            const { milestonesOf } = await import("/console/timeline.js");
            const one = { id: "m" + "-long".repeat(40), state: "pending", facility: "f", payee: "p", amount_minor: 0 };
            const [drawing] = milestonesOf([one], () => "", 0);
            document.querySelector("main").append(drawing);
            return drawing.querySelector("text:not(.soft)").textContent;
        }"""
    )
    assert "… · " in told
    assert [one for one in page.evaluate(TEXTS) if not one[2]] == []


def test_every_page_can_be_reached(page: Page) -> None:
    turned_to(page, "receipts")
    wide = page.viewport_size or DESK
    for one in page.locator("#nav a").all():
        box = one.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= wide["width"]


def test_the_first_map_shows_every_asset(page: Page, fleet: Fleet) -> None:
    turned_to(page, "")
    page.wait_for_function("document.querySelector('.leaflet-points-pane canvas')")
    page.wait_for_timeout(500)
    seen = page.evaluate(
        """() => {
            const map = document.querySelector(".map"), box = map.getBoundingClientRect(), found = new Set();
            for (let y = box.top + 6; y < box.bottom - 6; y += 6)
                for (let x = box.left + 6; x < box.right - 6; x += 6) {
                    const under = document.elementFromPoint(x, y);
                    if (under.closest(".leaflet-control")) continue;
                    under.dispatchEvent(new MouseEvent("mousemove", { clientX: x, clientY: y, bubbles: true }));
                    if (map.title) found.add(map.title);
                }
            return [...found];
        }"""
    )
    assert sorted(seen) == sorted(f"asset-{one.name}" for one in fleet.devices)


def test_a_field_of_the_inbox_stands_beside_its_label(page: Page) -> None:
    turned_to(page, "alerts")
    page.locator("main details:not([open]) summary").first.click()
    apart = page.evaluate(
        """() => [...document.querySelectorAll("#by, main details[open] select")].map(field => {
            const label = document.querySelector(`label[for="${field.id}"]`).getBoundingClientRect();
            const box = field.getBoundingClientRect();
            return [label.top < box.bottom && box.top < label.bottom, box.left - label.right];
        })"""
    )
    assert len(apart) == 2
    assert all(is_beside and 0 <= px < 20 for is_beside, px in apart), apart


def test_the_table_of_devices_is_whole_and_none_of_its_cells_is_tall(page: Page) -> None:
    turned_to(page, "devices")
    over, heads, lines = page.evaluate(
        """() => {
            const host = document.querySelector("main .scroll"), range = document.createRange();
            const linesOf = one => {
                range.selectNodeContents(one);
                return new Set([...range.getClientRects()].map(box => Math.round(box.bottom))).size;
            };
            const most = kind => Math.max(...[...host.querySelectorAll(kind)].map(linesOf));
            return [host.scrollWidth - host.clientWidth, most("thead th"), most("tbody td")];
        }"""
    )
    assert over <= 0
    assert heads <= 2
    assert lines <= LINES_MAX


NAMED = """async ends => {
    const { makeMap } = await import("/console/map.js"), host = document.createElement("div");
    host.className = "map";
    document.querySelector("main").prepend(host);
    const made = makeMap(host, "Strait", () => {});
    const point = at => ({ type: "Point", coordinates: at });
    made.setFences({ type: "FeatureCollection", features: ends.map((at, place) => (
        { type: "Feature", id: `PORT${place}`, properties: { radius_m: 3000 }, geometry: point(at) })) });
    made.setTrail([{ kind: "seen", way: ends }]);
    made.setMarks(ends.map(at => ({ id: "", at, state: "live", count: 1 })));
    made.fit(ends);
    await new Promise(drawn => setTimeout(drawn, 500));
    const boxOf = one => one.getBoundingClientRect(), wide = boxOf(host);
    const zoom = boxOf(host.querySelector(".leaflet-control-zoom"));
    const isApart = (a, b) => a.right <= b.left || b.right <= a.left || a.bottom <= b.top || b.bottom <= a.top;
    const layer = name => Number(host.querySelector(`.leaflet-${name}-pane`).style.zIndex);
    const names = [...host.querySelectorAll(".leaflet-tooltip")].map(one => [one, boxOf(one)])
        .filter(([, { left, right }]) => right > wide.left && left < wide.right);
    const found = {
        names: names.map(([one]) => one.textContent), over: layer("points") - layer("names"),
        whole: names.map(([, box]) => box.left >= wide.left && box.right <= wide.right && isApart(box, zoom)),
        free: ends.map(([x, y]) => {
            const { x: left, y: top } = made.map.latLngToContainerPoint([y, x]), px = 7;
            const mark = { left: wide.left + left - px, right: wide.left + left + px,
                top: wide.top + top - px, bottom: wide.top + top + px };
            return names.every(([, box]) => isApart(box, mark));
        }),
        colours: names.map(([one]) => [getComputedStyle(one).backgroundColor, getComputedStyle(one).color]),
        page: getComputedStyle(document.querySelector("header")).backgroundColor,
    };
    made.close();
    host.remove();
    return found;
}"""


def test_the_name_of_a_fence_hides_no_mark_and_nothing_hides_it(page: Page) -> None:
    turned_to(page, "receipts")
    found = page.evaluate(NAMED, [[79.85, 6.95], [82.5, 5.0]])
    assert found["names"] == ["PORT0", "PORT1"]
    assert found["free"] == [True, True]
    assert found["whole"] == [True, True]
    assert found["over"] > 0, "where two are near, a mark is above the other's name"
    for ground, text in found["colours"]:
        assert ground == found["page"], "names have the colours of the light that is chosen"
        assert text != ground


@pytest.mark.parametrize("place", ["", "alerts", "milestones", "devices", "assets/asset-coral"])
def test_axe_finds_nothing_serious_on_any_screen(page: Page, place: str) -> None:
    turned_to(page, place)
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= (page.viewport_size or DESK)["width"]


DRAWN = r"""async middle => {
    const { makeMap } = await import("/console/map.js"), host = document.createElement("div"), places = [];
    Object.assign(host.style, { width: "328px", height: "300px" });
    document.querySelector("main").append(host);
    const { clearRect } = CanvasRenderingContext2D.prototype, Outline = Path2D;
    CanvasRenderingContext2D.prototype.clearRect = function (...at) { places.length = 0; clearRect.apply(this, at); };
    globalThis.Path2D = function (circle) {
        const [, left, radius] = /^M(\S+) \S+a(\S+) /.exec(circle);
        places.push(Number(left) + Number(radius));
        return new Outline(circle);
    };
    const made = makeMap(host, "a map", () => {});
    made.map.setView([0, middle], 0, { animate: false });
    made.setMarks([170, -170, 20].map(east => ({ id: String(east), at: [east, 0], state: "live", count: 1 })));
    CanvasRenderingContext2D.prototype.clearRect = clearRect;
    globalThis.Path2D = Outline;
    const found = places.map(x => x + made.map._getMapPanePos().x), wide = host.clientWidth;
    const east = found.map(x => Math.round(made.map.containerPointToLatLng([x, 150]).lng));
    made.close();
    host.remove();
    return { east, isWithin: found.every(x => x >= 0 && x <= wide), wide };
}"""
"""The places of three assets on a map as wide as a phone's, around a longitude, as they are drawn."""


@pytest.mark.parametrize(
    ("middle", "east"),
    [(0, [170, -170, 20]), (150, [170, 190, 20]), (-150, [-190, -170, 20]), (-165, [-190, -170, -340])],
)
def test_an_asset_is_on_the_map_once_though_the_world_is_narrower(page: Page, middle: int, east: list[int]) -> None:
    turned_to(page, "receipts")
    found = page.evaluate(DRAWN, middle)
    assert found["wide"] > 256, "the world is as wide as the map: it would show little"
    assert found == {"east": east, "isWithin": True, "wide": 328}
