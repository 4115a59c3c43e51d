"""Every page of the console in Chinese, in a real browser: no English of ours is left anywhere.

The pages are walked over a journal with something of everything (twin_world). What no journal has at once, every kind
of event, state and fact, is asked of the console's own words; and what a page shows where something fails is looked at,
too.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import opened, served, turned_to, violations
from playwright.sync_api import Browser, Page, Route, expect
from receipting import FIRST
from seeing import USERS
from twin_story import Plot, play
from twin_world import TwinWorld

from pledgewatch_cloud.decide.alerts import DEFAULT_RULES
from pledgewatch_cloud.decide.collateral.amended import STAGES
from pledgewatch_cloud.decide.collateral.result import NO_BASE, STEPS
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.grade import Doubt
from pledgewatch_cloud.decide.items.alert_rules import CAUSES
from pledgewatch_cloud.decide.receipts.act import ActKind
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.trade.vocabulary import NOTICE_KINDS, REFERENCE_TYPES
from pledgewatch_cloud.decide.warehouse.cases import KINDS, CaseState
from pledgewatch_wire.reading import Channel

ROOT = Path(__file__).resolve().parent.parent
KEEPER, OPERATOR = USERS["keeper-kim"].key, USERS["operator-one"].key
STEPS_OF_STORY = 30
A_NOUN = 4
"""Pages that are opened of one noun; of events one of each type."""

DATA = {
    r"[\w.]+(?:[-:/][\w.]+)+": "names in the book: of things, people and rules, most with a hyphen, a slash or a colon",
    r"\b(?:carrier|importer|surveyor|registrar|mast|tracker|dock|yard|port|quiet|line)\b": "names without these",
    r"\bpiece\b": "a unit of goods, as who issued the receipt has written it",
    r"\b(?:comment|silence)(?: at last)?\b": "what people of the story write as comments and reasons",
    r"\bUSD\b": "a currency",
    r"Leaflet · Natural Earth|\bpledgewatch\b": "whose map and whose service it is",
    r"\bEnglish\b": "the button that leads there",
    r"\b[0-9a-f]{64}\b": "digests",
}
"""What is no English of ours, and why; each is a value of data and stays as it is."""

TEXTS = """() => {
    const found = [document.title], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const { parentElement: around, data } = walk.currentNode;
        if (!around.closest("pre, script, style, noscript")) found.push(data);
    }
    for (const name of ["aria-label", "title"])
        for (const one of document.querySelectorAll(`[${name}]`)) found.push(one.getAttribute(name));
    return found;
}"""
"""All that is text: shown, folded up, drawn, or said to who does not see; but acts, which stand as they were signed."""


def english_in(texts: list[str]) -> list[str]:
    """What is left of texts that is English: a run of three or more Latin words, or any word in small letters."""
    data = re.compile("|".join(DATA))
    left = [(text, data.sub(" ", text)) for text in texts]
    return [text for text, rest in left if re.search(r"(?:[A-Za-z]+[\s,.:;]+){2}[A-Za-z]+|\b[a-z]{2,}\b", rest)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwinWorld]:
    made = TwinWorld(tmp_path_factory.mktemp("everything"))
    for _ in play(made, Plot(random.Random(8)).whole(STEPS_OF_STORY)):
        pass
    made.feeder.catch_up()
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(world: TwinWorld) -> Iterator[str]:
    with served(world.client.app) as address:
        yield address


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """A console in Chinese, open for the keeper."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    made = context.new_page()
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))
    opened(made, url, "receipts", KEEPER)
    yield made
    context.close()
    assert not faults


def places(world: TwinWorld) -> list[str]:
    """The address of every kind of page, and of several things of each."""
    asked, said = "keeper-kim", world.store.events(0, 100_000)
    names = {
        "facilities": [one["id"] for one in world.get(asked, "/facilities")],
        "assets": [one["id"] for one in world.get(asked, "/assets")["features"]],
        "lots": [one["id"] for one in world.get(asked, "/lots")],
        "receipts": [one["id"] for one in world.get(asked, "/receipts")["receipts"]],
        "milestones": [one["id"] for one in world.get(asked, "/milestones")],
        "cases": list(world.keeping.spine.state.watch.cases),
        "notices": [str(one.event.fact("notice")) for one in said if "notice_" in one.event.type],
        "prices": ["two-goods"],
    }
    events = {one.event.type: one.id for one in said}
    assert len(events) > 25, "the journal has something of nearly everything"
    return [
        *("", "alerts", "milestones", "receipts", "devices", "rates/USD", "9/9"),
        *(f"alerts/{one}" for one in names["facilities"][:1]),
        *(f"events/{one}" for one in events.values()),
        *(f"{noun}/{one}" for noun, some in names.items() for one in some[:A_NOUN]),
    ]


def test_no_english_is_left_on_any_page_in_chinese(page: Page, world: TwinWorld) -> None:
    left: dict[str, list[str]] = {}
    walked = places(world)
    for place in walked:
        turned_to(page, place)
        if place == "alerts":
            for box in ("#cleared", "#silenced"):
                page.locator(box).check()
            page.wait_for_timeout(300)
        if found := english_in(page.evaluate(TEXTS)):
            left[place] = found
    assert not left
    assert {one.partition("/")[0] for one in walked} >= {"events", "cases", "notices", "receipts", "lots", "prices"}


def test_nor_on_the_page_of_operations_but_for_the_words_of_the_description(page: Page, url: str) -> None:
    page.goto(f"{url}/docs")
    expect(page.get_by_role("heading", name="alerts")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "zh-Hans"
    shown = page.locator("th, #about").all_inner_texts()
    assert english_in([one.replace("openapi.json", "") for one in shown]) == []
    parameters = " ".join(page.locator("td:last-child").all_inner_texts())
    assert ("（可选）" in parameters, "(" in parameters) == (True, False)
    every = page.evaluate("[...document.querySelectorAll('h2, td:nth-child(2)')].map(one => one.lang)")
    assert set(every) == {"en"}, "what is English is said to be"
    assert violations(page) == []
    page.evaluate("localStorage.setItem('lang', 'en')")
    page.reload()
    expect(page.get_by_role("columnheader", name="What it does").first).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"


def test_nor_where_a_role_sees_less(page: Page, url: str) -> None:
    opened(page, url, "", OPERATOR)
    for place in ("", "alerts", "devices", "facilities/line", f"receipts/{FIRST}", "milestones"):
        turned_to(page, place)
        assert english_in(page.evaluate(TEXTS)) == [], place


@pytest.mark.parametrize("status", [403, 404, 409, 422, 429, 500, 503])
def test_nor_where_something_is_refused(page: Page, status: int) -> None:
    def refuse(route: Route) -> None:
        problem = {"title": "No", "status": status, "detail": "there is a sentence of the API in English"}
        route.fulfill(status=status, json=problem, content_type="application/problem+json")

    turned_to(page, "alerts")
    page.route("**/alerts/*/comments", refuse)
    note = page.locator("details:has(textarea)").first
    note.locator("summary").click()
    note.locator("textarea").fill("x")
    note.locator("button").first.click()
    expect(page.locator("#fault")).not_to_be_empty()
    assert english_in(page.evaluate(TEXTS)) == []
    page.route("**/devices?*", refuse)
    turned_to(page, "devices")
    expect(page.get_by_role("alert")).to_be_visible()
    assert english_in(page.evaluate(TEXTS)) == []


def test_nor_where_the_service_is_away_or_asks_who_one_is(page: Page, url: str) -> None:
    page.route("**/devices?*", lambda route: route.abort())
    turned_to(page, "devices")
    expect(page.get_by_text("服务无响应")).to_be_visible()
    assert english_in(page.evaluate(TEXTS)) == []
    for place in ("state", "provider", "stranger", "away"):
        turned_to(page, f"refused/{place}")
        assert english_in(page.evaluate(TEXTS)) == []
    opened(page, url, "refused/state", "pwk_wrong")
    turned_to(page, "receipts")
    expect(page.locator("#key")).to_be_visible()
    assert english_in(page.evaluate(TEXTS)) == []


def facts_in_the_code() -> set[str]:
    """The names of facts that events are made with, as far as they stand in the code."""
    found = set(NO_BASE._fields) - {"ineligible", "advance", "held_back", "reserves"}
    found |= {f"ineligible_{step}" for step in STEPS}
    found |= {f"change_{why}" for why in ("price", "fx", "evidence", "condition", "place", "receipt", "stock")}
    found |= {f"change_{one.reason}" for one in STAGES}
    decide = ROOT / "cloud" / "pledgewatch_cloud" / "decide"
    for name in (
        *("alert_half", "asset_half", "condition", "events", "facility", "kinetic", "plausibility", "presence"),
        *("silence", "step", "milestones/judge", "milestones/half", "warehouse/case_book", "warehouse/handed_in"),
        *("warehouse/half", "warehouse/teller"),
    ):
        text = (decide / f"{name}.py").read_text(encoding="utf-8")
        said = re.findall(r"(?:about|facts|told|named|measured|line|counts)\b[^\n=]*\|?= ?\{([^}]*)\}", text)
        found |= {name for one in said for name in re.findall(r'"(\w+)":', one)}
        found |= {name for one in re.findall(r"\bevent\(\s*([^()]*)\)", text) for name in re.findall(r"(\w+)=", one)}
    return found - {"type", "at_ms", "subject", "facts", "currency", "choices"}


def test_every_name_of_the_api_has_a_word_in_chinese(page: Page) -> None:
    """By the very functions that the pages say them with."""
    facts = sorted(facts_in_the_code())
    assert len(facts) > 80, "what is found in the code"
    states: list[tuple[str, Any]] = [*((one.value, {}) for one in State if one is not State.NONE)]
    states += [(one.value, {"case": "case-1"}) for one in CaseState if one is not CaseState.NONE]
    values = [
        *(("state", one, more) for one, more in states),
        *(("act", one.value, {}) for one in ActKind),
        *(("kind", one, {}) for one in (*KINDS, *NOTICE_KINDS, "grace", "cumulative", "budget")),
        *(
            ("kind", one, {})
            for one in (
                *("signature", "sequence_reused", "unknown_certificate"),
                *("replaced_certificate", "unconfirmed_renewals", "overused_certificate"),
            )
        ),
        *(("reason", one, {}) for one in ("inside", "not_judged")),
        *(("doubt", one.value, {}) for one in Doubt),
        *(("retracted_type", one.value, {}) for one in EventType),
        *(("rule", one.id, {}) for one in DEFAULT_RULES),
        *(("references", f"{one}:1", {}) for one in REFERENCE_TYPES),
        *(("fate", one, {}) for one in ("withdrawn", "replaced")),
    ]
    said = page.evaluate(
        """async ({ types, facts, values, channels, causes }) => {
            const { channelOf, eventOf, factOf, named, ruleOf, valueOf } = await import("/console/spoken.js");
            const states = ["live", "expected_dark", "overdue", "silent", "withdrawal", "good"];
            return Object.fromEntries([
                ...types.map(one => [one, eventOf(one)]), ...facts.map(one => [`fact ${one}`, factOf(one)]),
                ...values.map(([name, value, more]) =>
                    [`${name} ${value} ${JSON.stringify(more)}`, valueOf(name, value, more)]),
                ...channels.map(one => [`channel ${one}`, channelOf(one)]),
                ...causes.map(one => [`rule ${one}`, ruleOf("x", one)]),
                ...states.map(one => [`named ${one}`, named(one)]),
            ]);
        }""",
        {
            "types": list(EventType),
            "facts": facts,
            "values": values,
            "channels": [one.name.lower() for one in Channel],
            "causes": CAUSES,
        },
    )
    left = {
        name: text for name, text in said.items() if re.search(r"[A-Za-z]{2,}|undefined", re.sub("EPC|MiB", "", text))
    }
    assert not left
    assert violations(page) == []
