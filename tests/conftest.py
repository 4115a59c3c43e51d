"""What every test run does: names what it could not run, once, at its end."""

import os
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# The suite draws the same examples every time, so that what lands is what was tested. `scripts/laws` searches further.
settings.register_profile("suite", max_examples=120, deadline=None, derandomize=True)
settings.register_profile(
    "search",
    max_examples=int(os.environ.get("EXAMPLES", "5000")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("suite")

_PACKAGE = "needs the system package "
_DATA = "needs ../shared/data"


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """One line for each system package, and one for the data, that tests were skipped for."""
    for reason, count in sorted(_reasons(terminalreporter).items()):
        terminalreporter.write_line(f"not run: {count} {'test' if count == 1 else 'tests'}: {reason}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where all packages are there, a test skipped for want of one is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    missing = [reason for reason in _reasons(reporter) if reason.startswith(_PACKAGE)]
    if missing and os.environ.get("PLEDGEWATCH_ALL_PACKAGES"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _reasons(reporter: Any) -> Counter[str]:
    reasons: Counter[str] = Counter()
    for report in reporter.stats.get("skipped", []) if reporter else []:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[text.removeprefix("Skipped: ")] += 1
    return reasons
