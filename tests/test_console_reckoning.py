"""What the console reckons (console/reckon.js), case by case, and how it changes a page (console/patch.js): run by the
same Chromium that draws it, without an API behind it."""

from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from pledgewatch_cloud.console import pages
from pledgewatch_cloud.decide.currencies import EXPONENTS

H, M = 3_600_000, 60_000
CALL = """async ([name, given]) => {
    const found = (await import("/console/reckon.js"))[name];
    return typeof found === "function" ? found(...given) : found;
}"""
HOST = "http://console.invalid"


@pytest.fixture(scope="module")
def page(browser: Browser) -> Page:
    """A page at which the console's files are, and nothing else: a browser that asks for more fails."""
    files = pages(EXPONENTS)

    def answer(route: Route) -> None:
        found = files.get(route.request.url.removeprefix(f"{HOST}/console/"))
        route.fulfill(body=found.body, content_type=found.kind) if found else route.fulfill(
            body="<main id=main tabindex=-1>", content_type="text/html"
        )

    made = browser.new_page(locale="en-GB")
    made.route("**/*", answer)
    made.goto(HOST)
    return made


def reckoned(page: Page, name: str, *given: Any) -> Any:
    return page.evaluate(CALL, [name, list(given)])


BETWEEN = [
    # from, until, legs planned dark; parts: until and what each is
    ("five minutes", 0, 5 * M, [], [(5 * M, "seen")]),
    ("six hours unplanned", 0, 6 * H, [], [(6 * H, "seen")]),
    ("a millisecond more", 0, 6 * H + 1, [], [(6 * H + 1, "gap")]),
    ("all of it planned", 0, 40 * H, [(0, 40 * H)], [(40 * H, "dark")]),
    ("a longer leg", 0, 40 * H, [(-9 * H, 90 * H)], [(40 * H, "dark")]),
    ("a leg that ends as the silence begins", 0, 40 * H, [(-10 * H, 1)], [(40 * H, "gap")]),
    ("a leg that begins as it ends", 0, 40 * H, [(40 * H - 1, 90 * H)], [(40 * H, "gap")]),
    ("a leg elsewhere", 0, 40 * H, [(50 * H, 90 * H)], [(40 * H, "gap")]),
    ("half an hour of a leg is none", 0, 8 * H, [(2 * H, 2 * H + 30 * M)], [(8 * H, "gap")]),
    ("silent beyond the plan", 0, 40 * H, [(0, 20 * H)], [(20 * H, "dark"), (40 * H, "gap")]),
    ("silent before the plan", 0, 40 * H, [(20 * H, 50 * H)], [(20 * H, "gap"), (40 * H, "dark")]),
    (
        "a little beyond on both sides",
        0,
        30 * H,
        [(2 * H, 27 * H)],
        [(2 * H, "seen"), (27 * H, "dark"), (30 * H, "seen")],
    ),
    ("two legs", 0, 40 * H, [(30 * H, 40 * H), (0, 10 * H)], [(10 * H, "dark"), (30 * H, "gap"), (40 * H, "dark")]),
    ("legs that overlap", 0, 40 * H, [(0, 30 * H), (10 * H, 40 * H)], [(30 * H, "dark"), (40 * H, "dark")]),
    ("a leg in a leg", 0, 40 * H, [(0, 40 * H), (10 * H, 20 * H)], [(40 * H, "dark")]),
    ("seen on a dark leg", 10 * H, 10 * H + 10 * M, [(0, 40 * H)], [(10 * H + 10 * M, "seen")]),
]


@pytest.mark.parametrize(
    ("since", "until", "legs", "parts"), [one[1:] for one in BETWEEN], ids=[one[0] for one in BETWEEN]
)
def test_the_time_between_two_fixes(page: Page, since: int, until: int, legs: Any, parts: Any) -> None:
    found = reckoned(page, "between", since, until, [{"from": a, "until": b} for a, b in legs])
    assert [(one["until"], one["kind"]) for one in found] == parts


def test_a_way_is_cut_where_a_leg_is(page: Page) -> None:
    found = way(page, [(0, 0, 0), (2 * H, 2, 1), (42 * H, 42, 21), (43 * H, 43, 22)], [(12 * H, 32 * H)])
    assert found == [
        ("seen", [(0, 0), (2, 1)]),
        ("gap", [(2, 1), (12, 6)]),
        ("dark", [(12, 6), (32, 16)]),
        ("gap", [(32, 16), (42, 21)]),
        ("seen", [(42, 21), (43, 22)]),
    ]


@pytest.mark.parametrize(
    ("easts", "shown"),
    [
        ([179, -179], [179, 181]),
        ([-179, 179], [-179, -181]),
        ([170, -170, -90, 10, 100, 179, -179], [170, 190, 270, 370, 460, 539, 541]),
        ([10, 170], [10, 170]),
    ],
)
def test_a_way_goes_on_over_the_180th_meridian(page: Page, easts: list[int], shown: list[int]) -> None:
    found = way(page, [(place * H, east, 5) for place, east in enumerate(easts)], [])
    assert found == [("seen", [(east, 5) for east in shown])]


def test_a_fix_in_doubt_or_half_a_fix_is_no_place_of_a_way(page: Page) -> None:
    north = [[0, 0, "good"], [H, 0, "good"], [2 * H, 0, "suspect"], [4 * H, 0, "good"]]
    east = [
        [0, 0, "good"],
        [H, 10**7, "suspect"],
        [2 * H, 10**7, "good"],
        [3 * H, 10**7, "good"],
        [4 * H, 2 * 10**7, "good"],
    ]
    assert reckoned(page, "trail", north, east, []) == [{"kind": "seen", "way": [[0, 0], [2, 0]]}]
    assert reckoned(page, "trail", north[:1], east[:1], []) == []


def test_nothing_is_joined_over_a_time_in_which_it_was_anothers(page: Page) -> None:
    seen = [[0, 3 * H], [20 * H, 30 * H]]
    east = [[hour * H, hour * 10**7, "good"] for hour in (0, 1, 2, 20, 21)]
    north = [[hour * H, 0, "good"] for hour in (0, 1, 2, 20, 21)]
    found = reckoned(page, "trail", north, east, [], seen)
    assert found == [{"kind": "seen", "way": [[0, 0], [1, 0], [2, 0]]}, {"kind": "seen", "way": [[20, 0], [21, 0]]}]
    points = [[hour * H, 5_000, "good"] for hour in (0, 1, 2, 20, 21, 29)]
    told = reckoned(page, "readings", points, [], seen)
    assert (told["runs"], told["holes"]) == ([points[:3], points[3:5], points[5:]], [[21 * H, 29 * H]])


def way(page: Page, fixes: list[tuple[int, float, float]], legs: list[tuple[int, int]]) -> list[Any]:
    """What a way looks like: its pieces, each with its places, to a millionth of a degree."""
    east = [[at, round(east * 1e7), "good"] for at, east, _ in fixes]
    north = [[at, round(north * 1e7), "good"] for at, _, north in fixes]
    found = reckoned(page, "trail", north, east, [{"from": a, "until": b} for a, b in legs])
    return [(one["kind"], [(round(x, 6), round(y, 6)) for x, y in one["way"]]) for one in found]


LOOKS = [
    # state, count, severity; fill, rim, width of the rim, shape
    ("live", 1, None, "good", "ground", 2, "circle"),
    ("dark", 1, None, "quiet", "ground", 2, "square"),
    ("bad", 1, None, "bad", "bad", 3, "diamond"),
    ("live", 1, "warning", "good", "warn", 3, "triangle"),
    ("dark", 1, "warning", "quiet", "warn", 3, "triangle"),
    ("dark", 1, "critical", "quiet", "bad", 3, "diamond"),
    ("bad", 1, "warning", "bad", "bad", 3, "diamond"),
    ("live", 5, None, "link", "ground", 2, "circle"),
    ("dark", 5, None, "link", "ground", 2, "square"),
    ("bad", 5, None, "link", "bad", 3, "diamond"),
    ("live", 5, "warning", "link", "warn", 3, "triangle"),
    ("live", 5, "critical", "link", "bad", 3, "diamond"),
]


@pytest.mark.parametrize(("state", "count", "severity", "fill", "rim", "wide", "shape"), LOOKS)
def test_a_mark_has_the_rim_and_the_shape_of_its_worst(
    page: Page, state: str, count: int, severity: str | None, fill: str, rim: str, wide: int, shape: str
) -> None:
    found = reckoned(page, "look", {"state": state, "count": count, "severity": severity})
    assert (found["fill"], found["rim"], found["rim_px"], found["shape"]) == (fill, rim, wide, shape)


def test_more_assets_are_a_larger_mark(page: Page) -> None:
    sizes = [reckoned(page, "look", {"state": "live", "count": count})["radius_px"] for count in (1, 2, 10, 1_000)]
    assert sizes == sorted(set(sizes))
    assert sizes[0] == 6


BASE = {
    "gross_minor": 1_000, "ineligible": {"dark": 0, "condition_loss": 150, "concentration": 50}, "eligible_minor": 800,
    "advance": {"beans": 400, "rice": 240}, "held_back": {"recall": 40}, "reserves": {"freight": 25, "rent": 0},
    "base_minor": 575, "outstanding_minor": 420,
}  # fmt: skip


def test_the_steps_of_a_base_lead_from_its_gross_to_it(page: Page) -> None:
    found = [(one["word"], one["of"], one["from"], one["to"], one["kind"]) for one in reckoned(page, "steps", BASE)]
    assert found == [
        ("gross", "", 0, 1_000, "sum"),
        ("", "condition_loss", 1_000, 850, "loss"),
        ("", "concentration", 850, 800, "loss"),
        ("eligible", "", 0, 800, "sum"),
        ("not_advanced", "", 800, 640, "loss"),
        ("", "recall", 640, 600, "loss"),
        ("reserve", "freight", 600, 575, "loss"),
        ("base", "", 0, 575, "sum"),
        ("outstanding", "", 0, 420, "owed"),
    ]


def test_a_base_without_goods_has_its_sums_alone(page: Page) -> None:
    base: dict[str, Any] = {key: {} if isinstance(value, dict) else 0 for key, value in BASE.items()}
    assert [one["kind"] for one in reckoned(page, "steps", base)] == ["sum", "sum", "sum", "owed"]


GAPS = [
    ([], []),
    ([0], []),
    ([0, 9 * H], []),  # of one interval nothing is usual but it
    ([0, M, 2 * M, 12 * M], []),
    ([0, M, 2 * M, 12 * M + 1], [(2 * M, 12 * M + 1)]),
    ([0, H, 2 * H, 6 * H, 7 * H], []),
    ([0, H, 2 * H, 6 * H + 1, 7 * H], [(2 * H, 6 * H + 1)]),
]
"""Moments, and what of them is a gap."""

A_DAY = [place * 2 * H for place in range(13)]
"""A reading every two hours for a day; what is asked for next is every ten seconds for two."""
TWO_HOURS = [10_000 * place for place in range(1, 721)]
CHANGED = [
    ("oftener from now on", [*A_DAY, *(24 * H + one for one in TWO_HOURS)], []),
    ("seldomer from now on", [*TWO_HOURS, *(2 * H + one for one in A_DAY[1:])], []),
    ("oftener for a while", [*A_DAY, *(24 * H + one for one in TWO_HOURS), *(26 * H + one for one in A_DAY[1:])], []),
    (
        "silent after it was seldomer",
        [*A_DAY, *(33 * H + one for one in TWO_HOURS)],
        [(24 * H, 33 * H + 10_000)],
    ),
    (
        "silent while it was seldomer, and while oftener",
        [*A_DAY[:5], *A_DAY[10:], *(24 * H + one for one in (*TWO_HOURS[:300], *TWO_HOURS[500:]))],
        [(8 * H, 20 * H), (24 * H + TWO_HOURS[299], 24 * H + TWO_HOURS[500])],
    ),
    ("three of the seldomer are left", [*A_DAY[:4], *(6 * H + one for one in TWO_HOURS)], []),
    ("silent twice in a minute", [0, *(H + one for one in TWO_HOURS[:3]), *(2 * H + one for one in TWO_HOURS)],
     [(0, H + 10_000), (H + 30_000, 2 * H + 10_000)]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("moments", "holes"),
    [*GAPS, *(one[1:] for one in CHANGED)],
    ids=[*map(str, range(len(GAPS))), *(one[0] for one in CHANGED)],
)
def test_a_gap_is_longer_than_four_intervals_about_then_and_ten_minutes(page: Page, moments: Any, holes: Any) -> None:
    assert [tuple(one) for one in reckoned(page, "gaps", moments)] == holes


def moments(*intervals: int) -> list[int]:
    """From 0 on, in so many minutes after each other."""
    return [M * one for one in accumulate((0, *intervals))]


SILENCES = [
    # intervals in minutes, how many it may be quiet, which of them are gaps
    ("two readings a fortnight apart, nothing said", [20_160], None, [0]),
    ("two readings nine hours apart, nothing said", [540], None, []),
    ("two readings nine hours apart", [540], 180, [0]),
    ("each minute, out for three hours, each hour from then on", [*[1] * 10, 200, *[60] * 10], 180, [10]),
    ("four times out with a reading between", [*[1] * 10, *[360] * 4, *[1] * 10], 120, [10, 11, 12, 13]),
    ("three readings an hour", [1, 1, 60] * 6, 30, [2, 5, 8, 11, 14, 17]),
    ("each five hours, as may be", [300] * 10, 301, []),
    ("to the minute", [30, 30, 30], 30, []),
    ("each other day, as may be", [2_880] * 5, 4_320, []),
]


@pytest.mark.parametrize(
    ("intervals", "most_min", "holes"), [one[1:] for one in SILENCES], ids=[one[0] for one in SILENCES]
)
def test_a_silence_is_a_gap_however_the_intervals_about_it_are(
    page: Page, intervals: list[int], most_min: int | None, holes: list[int]
) -> None:
    """What an installation says how long its source may be quiet is the most there is."""
    source = {"device": "one", "channel": None, "overdue_after_s": 0, "silent_after_s": 60 * (most_min or 0)}
    at = moments(*intervals)
    points = [[one, 5_000, "good"] for one in at]
    told = {"points": points, "devices": ["one"], "device_of": [0] * len(points), "channel": "temperature_mc"}
    (line,) = reckoned(page, "apart", told, [source])
    found = reckoned(page, "readings", line["points"], [], [[-(2**53), 2**53]], line["most_ms"])
    assert found["holes"] == [[at[one], at[one + 1]] for one in holes]
    assert len(found["runs"]) == len(holes) + 1


@pytest.mark.parametrize(
    ("sources", "most_s"),
    [
        ([], 86_400),
        ([("one", None, 0, 0)], 86_400),
        ([("one", None, 600, 0)], 600),
        ([("one", None, 600, 3_600)], 3_600),
        ([("one", None, 0, 400_000)], 400_000),
        ([("one", None, 0, 3_600), ("one", "temperature_mc", 0, 1_200), ("one", "humidity", 0, 60)], 1_200),
        ([("other", None, 0, 60), ("one", None, 0, 3_600)], 3_600),
    ],
)
def test_a_source_may_be_quiet_as_long_as_its_installation_says(page: Page, sources: Any, most_s: int) -> None:
    names = ("device", "channel", "overdue_after_s", "silent_after_s")
    told = [dict(zip(names, one, strict=True)) for one in sources]
    assert reckoned(page, "patience", told, "one", "temperature_mc") == 1_000 * most_s


def test_points_of_several_devices_are_lines_of_their_own(page: Page) -> None:
    points = [[hour * H, value, "good"] for hour in range(3) for value in (25_000, -18_000)]
    told = {"points": points, "devices": ["hot", "cold"], "device_of": [0, 1] * 3, "channel": "temperature_mc"}
    found = reckoned(page, "apart", told, [])
    assert [(one["device"], one["points"]) for one in found] == [("hot", points[::2]), ("cold", points[1::2])]
    assert reckoned(page, "apart", {"points": [], "seen": []}, []) == [], "of an answer that is not had"


def test_readings_are_joined_over_no_gap_and_none_that_is_in_doubt_is(page: Page) -> None:
    good = [[hour * H, 5_000 + hour, "good"] for hour in (0, 1, 2, 9, 10)]
    points = sorted([*good, [90 * M, 99_000, "suspect"], [5 * H, -99_000, "clock_suspect"]])
    found = reckoned(page, "readings", points, [])
    assert found["runs"] == [good[:3], good[3:]]
    assert [one[2] for one in found["doubtful"]] == ["suspect", "clock_suspect"]
    assert found["holes"] == [[2 * H, 9 * H]]
    assert reckoned(page, "readings", [], []) == {"runs": [], "beyond": [], "doubtful": [], "holes": []}


@pytest.mark.parametrize(
    ("limits", "beyond"),
    [
        ([], []),
        ([(2_000, 8_000)], [1_999, 8_001]),
        ([(None, 8_000)], [8_001]),
        ([(2_000, None)], [1_999]),
        ([(None, 8_000), (8_000, None)], [1_999, 2_000, 8_001]),
    ],
)
def test_beyond_a_limit_is_what_is_not_on_it(page: Page, limits: Any, beyond: list[int]) -> None:
    points = [[place * M, value, "good"] for place, value in enumerate((1_999, 2_000, 8_000, 8_001))]
    points.append([9 * M, 90_000, "suspect"])
    found = reckoned(page, "readings", points, [{"low": low, "high": high} for low, high in limits])
    assert [one[1] for one in found["beyond"]] == beyond


def test_a_ratio_holds_until_its_end_and_where_there_is_none_is_a_hole(page: Page) -> None:
    ratios = [None, 7_000, 8_000, None, None, 0]
    bases = [{"at_ms": place, "until_ms": place + 1, "ltv_bp": bp} for place, bp in enumerate(ratios)]
    found = reckoned(page, "course", [*bases, {"at_ms": 8, "until_ms": 9, "ltv_bp": 1}])
    assert found == {
        "runs": [[[1, 2, 7_000], [2, 3, 8_000]], [[5, 6, 0]], [[8, 9, 1]]],
        "holes": [[0, 1], [3, 4], [4, 5]],
    }, "from 6 to 8 it was another's: neither a line nor a hole"


YEAR = {"from": 0, "until": 365 * 24 * H}
STEP = 365 * 24 * H // 1_000


@pytest.mark.parametrize(("step", "moment"), [(0, 0), (1, STEP), (500, 500 * STEP), (999, 999 * STEP), (1_000, None)])
def test_a_slider_and_its_moment(page: Page, step: int, moment: int | None) -> None:
    assert reckoned(page, "momentAt", step, YEAR) == moment
    assert reckoned(page, "stepAt", moment, YEAR) == step


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        (-H, 0),
        (STEP // 2 - 1, 0),
        (STEP // 2 + 1, 1),
        (YEAR["until"], 999),
        (YEAR["until"] + 9 * H, 999),
        (None, 1_000),
    ],
)
def test_a_slider_is_at_its_end_for_now_alone(page: Page, moment: int | None, step: int) -> None:
    assert reckoned(page, "stepAt", moment, YEAR) == step


@pytest.mark.parametrize(
    ("before", "by", "moment", "after"),
    [
        ((None, None), "as_of", 5, (5, None)),
        ((None, None), "known_at", 5, (5, 5)),
        ((5, None), "known_at", 7, (5, 7)),
        ((5, 7), "as_of", 9, (9, 9)),
        ((5, 7), "as_of", None, (None, None)),
        ((5, 7), "known_at", 3, (3, 3)),
        ((5, 7), "known_at", None, (5, None)),
        ((5, 5), "as_of", 0, (0, 5)),
    ],
)
def test_nobody_knows_at_a_moment_what_was_only_after_it(
    page: Page, before: Any, by: str, moment: int | None, after: Any
) -> None:
    found = reckoned(page, "set", dict(zip(("as_of", "known_at"), before, strict=True)), by, moment)
    assert (found["as_of"], found["known_at"]) == after


def test_a_field_has_a_moment_in_utc_whatever_the_browser_s_zone(page: Page) -> None:
    close = datetime(2026, 3, 31, 23, 59, 59, tzinfo=UTC).timestamp() * 1_000
    assert reckoned(page, "read", "2026-03-31T23:59:59") == close
    assert reckoned(page, "read", "2026-03-31T23:59") == close - 59_000
    assert reckoned(page, "written", close) == "2026-03-31T23:59:59"
    assert (reckoned(page, "read", ""), reckoned(page, "written", None)) == (None, "")


@pytest.mark.parametrize("hours", [1, 4, 24, 72, 168, 720])
def test_a_silence_is_as_long_as_was_said_less_a_second(page: Page, hours: int) -> None:
    until = datetime.fromisoformat(reckoned(page, "untilOf", 0, hours)).timestamp()
    assert until == hours * 3_600 - 1


@pytest.mark.parametrize(("east", "to", "copy"), [(-175, 179, 185), (175, -179, -185), (10, 20, 10), (10, 745, 730)])
def test_the_copy_of_a_longitude_that_is_nearest(page: Page, east: int, to: int, copy: int) -> None:
    assert reckoned(page, "nearest", east, to) == copy


PATCH = """async ([first, then]) => {
    const own = await import("/console/patch.js"), { patch } = own, host = document.createElement("div");
    const nodes = text => [...new DOMParser().parseFromString(text, "text/html").body.childNodes];
    document.getElementById("main").replaceChildren(host);
    patch(host, nodes(first));
    host.querySelectorAll("*").forEach((one, place) => { one.mark = place; });
    host.querySelector("[autofocus]")?.focus();
    const details = host.querySelector("details"); if (details) details.open = true;
    const before = own.changes;
    patch(host, nodes(then));
    return [host.innerHTML.replace(' open=""', ""), [...host.querySelectorAll("*")].map(one => one.mark ?? -1),
        (document.activeElement.id || document.activeElement.nodeName),
        details?.isConnected ? details.open : null, own.changes !== before];
}"""
PATCHES = [
    # what there was, what there should be; which of the elements are the old ones, who has the focus then
    (
        "the same",
        "<p>a</p>",
        "<p>a</p>",
        [0],
        "BODY",
    ),
    (
        "another text",
        "<p>a</p>",
        "<p>b</p>",
        [0],
        "BODY",
    ),
    (
        "another attribute",
        '<p class="a">a</p>',
        '<p title="b">a</p>',
        [0],
        "BODY",
    ),
    (
        "another tag",
        "<p>a</p>",
        "<b>a</b>",
        [-1],
        "BODY",
    ),
    (
        "a row ahead",
        '<i data-key="1" id="x" tabindex="0" autofocus=""></i>',
        '<i data-key="2"></i><i data-key="1" id="x" tabindex="0" autofocus=""></i>',
        [-1, 0],
        "x",
    ),
    (
        "a row less",
        '<i data-key="1"></i><i data-key="2"><a id="y" href="#" autofocus="">l</a></i>',
        '<i data-key="2"><a id="y" href="#" autofocus="">l</a></i>',
        [1, 2],
        "y",
    ),
    (
        "rows in another order",
        '<i data-key="1"><a id="y" href="#" autofocus="">l</a></i><i data-key="2"></i>',
        '<i data-key="2"></i><i data-key="1"><a id="y" href="#" autofocus="">l</a></i>',
        [2, 0, 1],
        "y",
    ),
    (
        "two rows of one key",
        '<i data-key="1">a</i><i data-key="1">b</i>',
        '<i data-key="1">a</i><i data-key="1">c</i>',
        [0, 1],
        "BODY",
    ),
    (
        "what had the focus is gone",
        '<div tabindex="0" id="around"><p><button autofocus="">b</button></p></div>',
        '<div tabindex="0" id="around"><p>done</p></div>',
        [0, 1],
        "around",
    ),
    (
        "nothing of it is left",
        '<p><button autofocus="">b</button></p>',
        "",
        [],
        "main",
    ),
    (
        "what is open stays open",
        "<details><summary>s</summary><p>a</p></details>",
        "<details><summary>t</summary><p>b</p></details>",
        [0, 1, 2],
        "BODY",
    ),
]


@pytest.mark.parametrize(
    ("first", "then", "old", "focus"), [one[1:] for one in PATCHES], ids=[one[0] for one in PATCHES]
)
def test_a_page_is_made_like_another_and_what_stays_is_the_same(
    page: Page, first: str, then: str, old: list[int], focus: str
) -> None:
    page.evaluate("document.activeElement.blur()")
    html, marks, focused, is_open, is_changed = page.evaluate(PATCH, [first, then])
    assert (html, marks, focused) == (then, old, focus)
    assert is_open in (None, True)
    assert is_changed == (first != then)


def test_what_listens_is_what_was_said_last(page: Page) -> None:
    heard = page.evaluate(
        """async () => {
            const { el } = await import("/console/draw.js"), { patch } = await import("/console/patch.js");
            const host = document.createElement("div"), heard = [];
            const button = word => el("button", word ? { click: () => heard.push(word) } : {}, "b");
            for (const word of ["first", "then", "", "again"]) { patch(host, [button(word)]); host.firstChild.click(); }
            return heard;
        }"""
    )
    assert heard == ["first", "then", "again"]
