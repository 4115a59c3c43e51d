"""Requests that are drawn from what the API says of itself, as every user, and whether the answers are what it says."""

from typing import Any

import schemathesis
from api_cloud import shown
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks
from seeing import USERS

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
ENDLESS = frozenset({"/live"})
"""What does not end; tests/test_live.py is about it."""


def assert_answers_as_it_says(app: Any, known: dict[str, list[str]], examples: int) -> dict[str, set[int]]:
    """Ask every operation so many times, by chance from its schema and with `known` ids in the place of parameters, as
    users by chance: no 5xx, and each answer has a status, a type and a body that the document tells of. What statuses
    there were, by operation."""
    found: dict[str, set[int]] = {}
    results: Any = schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()
    for result in results:
        operation = result.ok()
        if operation.path in ENDLESS:
            continue
        _ask(operation, known, examples, found.setdefault(operation.label, set()))
    return found


def _ask(operation: Any, known: dict[str, list[str]], examples: int, statuses: set[int]) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(), st.sampled_from(sorted(USERS)), st.data())
    def ask(case: Any, user: str, data: st.DataObject) -> None:
        for name in case.path_parameters or {}:
            if known.get(name) and data.draw(st.integers(0, 3)):
                case.path_parameters[name] = data.draw(st.sampled_from(known[name]))
        answer = case.call(headers=shown(USERS[user].key))
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    ask()
