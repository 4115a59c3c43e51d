"""No release is lost and none is paid twice, whatever dies and whenever: the laws of money, over seeds."""

import json
from collections import Counter
from functools import cache

import jsonschema
import pytest
from needed import DATA, needs
from release_laws import AT_REST, live_through
from release_simulation import CrashPoint
from release_story import FACILITIES

from pledgewatch_cloud.decide.milestones.lifecycle import MilestoneState
from pledgewatch_sim.bank.releases import ABOUT_A_RELEASE

CLOUDEVENTS = "std-cloudevents/cloudevents.json"
SEEDS = 200
OFTEN = 5

lived_through = cache(live_through)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_release_is_lost_and_none_is_paid_twice(seed: int) -> None:
    assert lived_through(seed).types.total() > len(FACILITIES), "a run in which nothing is said proves nothing"


def test_the_cloud_has_died_everywhere_and_everything_has_happened() -> None:
    runs = [lived_through(seed) for seed in range(SEEDS)]
    struck = sum((one.struck for one in runs), Counter[CrashPoint]())
    assert min(struck[point] for point in CrashPoint) >= OFTEN, struck
    types = sum((one.types for one in runs), Counter[str]())
    assert min(types[one] for one in ABOUT_A_RELEASE) >= OFTEN, types
    states = sum((one.states for one in runs), Counter[MilestoneState]())
    assert states.keys() == AT_REST, states


@needs(CLOUDEVENTS)
def test_every_message_is_a_cloudevent() -> None:
    schema = json.loads((DATA / CLOUDEVENTS).read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())
    bodies = [body for seed in range(20) for body in lived_through(seed).bodies]
    assert [list(validator.iter_errors(json.loads(one))) for one in bodies] == [[]] * len(bodies)
    assert list(validator.iter_errors({**json.loads(bodies[0]), "id": ""}))
