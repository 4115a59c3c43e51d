"""The pages that people judge by, in Chinese, in a real browser: whatever the API gives as a ground, as what is missing
or as what would follow, no English is left of it.

A world's answers are taken, and every sentence that there is (decide/sentences.py) is put in them, for no world has all
of them at once."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from api_cloud import TOKEN, ApiCloud
from browsing import opened, served, turned_to, violations
from builders import MINUTE_MS, NOON_MS
from playwright.sync_api import Browser, Page, Route

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.collateral.result import STEPS
from pledgewatch_cloud.decide.milestones.clauses import FACT_PARAMETERS
from pledgewatch_cloud.decide.milestones.lifecycle import MilestoneState
from pledgewatch_cloud.decide.sentences import SENTENCES, Ref, Sentence, as_told, parts_of, say
from pledgewatch_cloud.decide.warehouse.held import STATES

LOT, MILESTONE, FACILITY = "lot-container-1", "milestone-container-1", "facility-1"
GIVEN: dict[str, Any] = {
    "class": "at_port",
    "cause": "condition_breached",
    "limit": ("temperature_mc", "cumulative"),
    "grade": "good",
    "asked_grade": "fair",
    "kind": "vessel_loaded",
    "fate": "withdrawn",
    "classifier": "estimated",
    "paper": "insurance",
    "proofs": ("event 1.0", "notice 2.0", "reading 3.0"),
    "events": (Ref("events", "4.0"), Ref("events", "5.0")),
    "why": (say("cause_since", cause="mkt_exceeded", at_ms=NOON_MS), say("limits_unknown", lot="6.0")),
    "some": (say("not_met"), say("is_not_known")),
    "reading": say("reading", device="7.0", epoch=1, sequence=2, at_ms=NOON_MS),
}
ASKED = {"fence": "8", "lot": "9", "place": "0", "sender": "1", "milestone": "2", "limit": "3", "grade": "poor"}
ASKED_MORE = {"dwell_s": 3_600, "max_age_s": 86_400, "at": "2026-01-01T00:00:00Z", "ltv_bp": 6_000}
NAMES = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+|\b(sofa|exporter|bank|importer)\b")
"""Names of things and of parties, which have no language."""


def given(name: str, state: str) -> Any:
    """What may stand in a place of a sentence."""
    if name.endswith("_ms"):
        return NOON_MS
    if name.endswith(("_bp", "_s")):
        return 7_200
    return GIVEN.get(name, state if name == "state" else "held" if name == "milestone_state" else "10")


def every_sentence() -> list[Sentence]:
    """Each sentence, those with a state once for each."""
    found = []
    for code, text in SENTENCES.items():
        places = re.findall(r"\{(\w+)", text)
        states = (*STATES, "cancelled") if "state" in places else ("valid",)
        found += [say(code, **{name: given(name, state) for name in places}) for state in states]
    return found


def parted(one: Sentence) -> list[Any]:
    return [part._asdict() if isinstance(part, Ref) else part for part in parts_of(one)]


def with_all(path: str, found: Any) -> Any:
    """An answer with every sentence in it."""
    some = every_sentence()
    steps = [STEPS[place % len(STEPS)] for place in range(len(some))]
    if path == f"/facilities/{FACILITY}":
        line = found["lines"][0]
        line["grounds"] = [f"{step}: {one}" for step, one in zip(steps, some, strict=True)]
        line["told"] = [{"step": step, **(as_told(one) or {})} for step, one in zip(steps, some, strict=True)]
        line["ineligible"] = dict.fromkeys(STEPS, 1)
    elif path == f"/lots/{LOT}/trail":
        found["amounts"]["ineligible"] = [
            {"step": step, "taken_minor": 1, "grounds": [parted(one)], "told": [as_told(one)]}
            for step, one in zip(steps, some, strict=True)
        ]
        unvalued = say("no_price", sku="11", day="2026-01-01")
        found["amounts"]["value"] |= {"unvalued": [parted(unvalued)], "unvalued_told": [as_told(unvalued)]}
    elif path == f"/milestones/{MILESTONE}":
        kinds = list(FACT_PARAMETERS)
        for place, one in enumerate(some):
            fact = {"fact": kinds[place % len(kinds)]} | (ASKED | ASKED_MORE if place < len(kinds) else {})
            told = {
                "missing": str(one),
                "missing_told": as_told(one),
                "if_lost": str(one),
                "if_lost_told": as_told(one),
            }
            more = {"words": "in English", "holds": False, "may_hold": bool(place % 2), "since_ms": None, "proofs": []}
            found["facts"].append({"fact": fact if place % 2 else {"not": fact}, **more, **told})
        found["state"] = MilestoneState.IN_QUESTION
    return found


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A console in Chinese, over goods that are too warm in a port."""
    cloud = ApiCloud(tmp_path_factory.mktemp("port"), at_ms=NOON_MS + 60 * MINUTE_MS, token=TOKEN)
    cloud.sail_into_port()
    cloud.spine.commit(drafts.amend, {"facilities": [_with_owed(cloud)]})
    context = browser.new_context(viewport={"width": 1280, "height": 900}, locale="zh-CN")
    made = context.new_page()
    faults: list[str] = []
    made.on("pageerror", lambda error: faults.append(str(error)))

    def answer(route: Route) -> None:
        path = re.sub(r"^https?://[^/]+|\?.*$", "", route.request.url)
        fetched = route.fetch()
        route.fulfill(response=fetched, json=with_all(path, fetched.json()))

    for noun in (f"facilities/{FACILITY}", f"lots/{LOT}/trail", f"milestones/{MILESTONE}"):
        made.route(f"**/{noun}", answer)
    with served(cloud.client.app) as url:
        opened(made, url, "receipts")
        yield made
        context.close()
    cloud.close()
    assert not faults


def _with_owed(cloud: ApiCloud) -> dict[str, Any]:
    known = next(one for one in cloud.get("/book")["facilities"] if one["id"] == FACILITY)
    return {**known, "outstanding_minor": 9_000_000}


@pytest.mark.parametrize("place", [f"facilities/{FACILITY}", f"lots/{LOT}", f"milestones/{MILESTONE}", "alerts"])
def test_no_english_is_left_on_a_page_in_chinese(page: Page, place: str) -> None:
    turned_to(page, place)
    text = str(page.locator("main").inner_text())
    if place != "alerts":
        assert text.count("里程碑") + text.count("仓单") > 20, "every sentence is there"
    left = {line: found for line in text.split("\n") if (found := re.findall(r"[a-z]{2,}", NAMES.sub("", line)))}
    assert not left
    assert violations(page) == []
