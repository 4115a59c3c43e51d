"""The beats of the demo's story: each is told where its figures are as they should be, and only then."""

import re
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from pledgewatch_sim.demo.beats import Told, beats
from pledgewatch_sim.demo.parties import Refusal
from pledgewatch_sim.demo.sites import Load, Site, sites
from pledgewatch_sim.demo.story import CONTAINERS, DAY_MS

START_MS, END_MS = 1_000 * DAY_MS, 1_012 * DAY_MS
THEFT, PLEDGE = "la-3%3A0001", "rtm-1%3A0001"


def said(identity: str, kind: str, subject: str, because: str = "", **facts: Any) -> dict[str, Any]:
    marks = {"because": because} if because else {}
    return {"id": identity, "type": kind, "at_ms": START_MS, "subject": subject, "facts": facts, **marks}


EVENTS = [
    said("1.0", "condition_breached", "coral", value=14_000),
    # 400 boxes at 960.13 are 384,052.00. A quarter off leaves 288,039.00, of which half may be lent: 144,019.50. At
    # 102.5 % that is 140,506.82, and 172,823.40 are lent: 32,316.58 are called.
    said("2.0", "margin_called", "cold-line", call_minor=3_231_658),
    said("2.1", "cover_restored", "cold-line", headroom_minor=351_268),  # 144,019.50 less what is still lent
    said("3.0", "source_fell_silent", "hazel", last_ms=START_MS - 5_000),
    said("3.1", "source_fell_silent", "birch", last_ms=START_MS - 5_000),
    said("4.0", "evidence_doubted", "pearl", doubt="impossible_speed"),
    said("5.0", "event_retracted", "hazel", "late_reading", retracted="3.0", retracted_type="source_fell_silent"),
    said("6.0", "fence_entered", "jade", fence="USLAX"),
    said("7.0", "milestone_released", "pacific-line"),
    said("8.0", "goods_left", "la-3-hall", gate="la-3-gate"),
]
DRAWN = {"kind": "drawdown", "amount_minor": 4_001_400}
REPAID = {"kind": "repayment", "amount_minor": 3_231_658}


def silent(asset: str) -> str:
    """Where it is asked what was measured while it was silent."""
    return f"/assets/{asset}/series/latitude_e7?from_ms={START_MS - 4_999}&to_ms={START_MS}&limit=10000"


CLOUD: dict[str, Any] = {
    "/assets": {
        "features": [{"id": one.name, "geometry": {"coordinates": [-150.0, 10.0]}} for one in CONTAINERS],
    },
    "/facilities/cold-line/lines": [{"ineligible": {"condition_loss": 9_601_300}}],
    f"/assets/onyx/series/latitude_e7?from_ms=0&to_ms={END_MS}&limit=10000": {
        "points": [[START_MS + round(share * 12 * DAY_MS), 1, "good"] for share in (0.1, 0.18, 0.53, 0.7)]
    },
    "/milestones/gated-in-pearl": {"state": "pending"},
    "/book": {"facilities": [{"id": "pacific-line", "movements": [DRAWN]}, {"id": "cold-line", "movements": [REPAID]}]},
    "/facilities/cold-line": {"cover": "clear"},
    silent("hazel"): {"points": [[START_MS - 1, 1, "good"]]},
    silent("birch"): {"points": []},
    f"/receipts/{PLEDGE}": {"controller": "bank-one"},
    f"/receipts/{PLEDGE}/acts": {"acts": [{"act": "issue"}, {"act": "pledge"}]},
    f"/receipts/{THEFT}": {"state": "frozen"},
    "/alerts?severity=critical": [{"rule": "goods-left"}, {"rule": "condition"}],
    "/facilities/sofa-line-la-3": {"base": {"ineligible": {"receipt": 240_132}, "base_minor": 0}},
}
LEDGER: dict[str, Any] = {
    "facilities": {
        "asia-europe-line": {"releases": {}},
        "pacific-line": {"movements": [DRAWN]},
        "cold-line": {"movements": [REPAID]},
    },
}


class Scene:
    """What the journal and the bank have, by heart."""

    def __init__(self) -> None:
        self.events = deepcopy(EVENTS)
        self.answers = deepcopy(CLOUD)
        self.ledger = deepcopy(LEDGER)
        self.refusal: Refusal | None = Refusal("rtm-1:0001", "sofa-works", "bank-two", 422, "it is pledged")
        self.story_ms = (START_MS, END_MS)

    async def cloud(self, path: str) -> Any:
        return self.answers.get(path, {"points": []}) if "/series/" in path else self.answers[path]

    async def core(self, path: str) -> Any:
        return {"/ledger": self.ledger}[path]


@pytest.fixture
def both(tmp_path: Path) -> tuple[Site, Site]:
    made = sites(tmp_path, 1883)
    for one in made:
        one.loads = [Load("SL1", "H-01", 6), Load("SL2", "H-02", 6)]
    return made


async def told(both: tuple[Site, Site], scene: Scene) -> dict[str, Told | None]:
    return {name: await ask(scene) for name, ask in beats(*both).items()}


async def test_every_beat_is_told_where_it_is_as_it_should_be(both: tuple[Site, Site]) -> None:
    found = await told(both, Scene())
    assert {name: one is not None and one.has_happened for name, one in found.items()} == dict.fromkeys(found, True)
    assert [one.event for one in found.values() if one] == [*("", "2.0", "2.1", "", "4.0", "5.0", "7.0", "", "8.0", "")]
    assert all(words.en and words.zh and words.en != words.zh for one in found.values() if one for words in one[1:3])
    chinese = [words.zh for one in found.values() if one for words in one[1:3]]
    assert [text for text in chinese if re.search(r"[A-Za-z]+ [A-Za-z]+ [A-Za-z]+", text)] == [], "no English in it"
    refused = found["double-pledge"]
    assert refused
    assert refused.why.en.endswith("it is pledged"), "what the service answered"


async def test_nothing_is_told_where_nothing_happened(both: tuple[Site, Site]) -> None:
    scene = Scene()
    scene.events, scene.refusal = [], None
    for feature in scene.answers["/assets"]["features"]:
        feature["geometry"] = None
    for answer in scene.answers.values():
        if "points" in answer:
            answer["points"] = []
    assert set((await told(both, scene)).values()) == {None}


def _drop(kind: str) -> Callable[[Scene], None]:
    return lambda scene: setattr(scene, "events", [one for one in scene.events if one["type"] != kind])


def _set(*path: Any, value: Any) -> Callable[[Scene], None]:
    def change(scene: Scene) -> None:
        found: Any = {"cloud": scene.answers, "core": scene.ledger, "events": scene.events}[path[0]]
        for one in path[1:-1]:
            found = found[one]
        found[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("beat", "change"),
    [
        ("fleet", _set("cloud", "/assets", "features", 3, "geometry", value=None)),
        ("breach", _set("cloud", "/facilities/cold-line/lines", 0, "ineligible", "condition_loss", value=9_601_301)),
        ("breach", _set("events", 1, "facts", "call_minor", value=3_231_657)),
        ("breach", _drop("condition_breached")),
        ("cover", _set("core", "facilities", "cold-line", "movements", value=[REPAID, REPAID])),
        ("cover", _set("cloud", "/book", "facilities", 1, "movements", value=[])),
        ("cover", _set("cloud", "/facilities/cold-line", "cover", value="called")),
        ("cover", _set("events", 2, "facts", "headroom_minor", value=351_267)),
        ("cover", _drop("cover_restored")),
        ("silences", _set("cloud", silent("birch"), "points", value=[[START_MS - 1, 1, "good"]])),
        ("silences", _set("cloud", silent("hazel"), "points", value=[])),
        ("dark", lambda scene: scene.events.append(said("9.0", "source_overdue", "onyx", last_ms=START_MS - 5_000))),
        ("spoof", _set("cloud", "/milestones/gated-in-pearl", "state", value="met")),
        ("spoof", _set("core", "facilities", "asia-europe-line", "releases", value={"x": {}})),
        ("spoof", lambda scene: scene.events.append(said("9.0", "fence_entered", "pearl", fence="DEHAM"))),
        ("retraction", _set("events", 6, "because", value="amended_book")),
        (
            "retraction",
            lambda scene: scene.events.append(said("9.0", "source_fell_silent", "hazel", last_ms=START_MS - 9_000)),
        ),
        ("drawdown", _set("core", "facilities", "pacific-line", "movements", value=[DRAWN, DRAWN])),
        ("drawdown", _set("cloud", "/book", "facilities", 0, "movements", value=[])),
        ("drawdown", _drop("milestone_released")),
        ("double-pledge", _set("cloud", f"/receipts/{PLEDGE}/acts", "acts", value=[{"act": "pledge"}] * 2)),
        ("double-pledge", _set("cloud", f"/receipts/{PLEDGE}", "controller", value="bank-two")),
        ("double-pledge", lambda scene: setattr(scene, "refusal", None)),
        ("theft", _set("cloud", f"/receipts/{THEFT}", "state", value="pledged")),
        ("theft", _set("cloud", "/facilities/sofa-line-la-3", "base", "base_minor", value=1)),
        ("theft", _set("cloud", "/alerts?severity=critical", value=[])),
    ],
)
async def test_a_beat_is_not_told_where_one_thing_is_otherwise(
    both: tuple[Site, Site], beat: str, change: Callable[[Scene], None]
) -> None:
    scene = Scene()
    change(scene)
    found = await told(both, scene)
    assert [name for name, one in found.items() if one is None or not one.has_happened] == [beat]


async def test_who_was_dark_longer_than_planned_is_told_as_not_happened(both: tuple[Site, Site]) -> None:
    scene = Scene()
    series = next(answer for answer in scene.answers.values() if "points" in answer)
    series["points"] = [[START_MS + round(share * 12 * DAY_MS), 1, "good"] for share in (0.1, 0.18, 0.8)]
    dark = (await told(both, scene))["dark"]
    assert dark is not None
    assert not dark.has_happened
    assert dark.as_json()["figures"][1] == {
        "name": "dark within the planned leg",
        "expected": 1,
        "found": 0,
        "holds": False,
    }
