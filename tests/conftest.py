"""What every test run does: names what it could not run, once, at its end."""

import gc
import logging
import os
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from needed import NEEDS_DATA, NEEDS_PACKAGE

if TYPE_CHECKING:
    from api_cloud import ApiCloud
    from browsing import Fleet
    from playwright.sync_api import Browser

# An assert that fails in tests/support says as much of its values as one in a test.
pytest.register_assert_rewrite(
    *{path.stem for path in Path(__file__).with_name("support").glob("*.py")} - {"needed"}  # which asserts nothing
)

# The suite draws the same examples every time, so that what lands is what was tested. `scripts/laws` searches further.
settings.register_profile("suite", max_examples=120, deadline=None, derandomize=True)
settings.register_profile(
    "search",
    max_examples=int(os.environ.get("EXAMPLES", "5000")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("suite")

# The files that take longest, the longest first, so that no process is left with one of them when the others have
# ended. A file that `scripts/test` is still waiting for at its end belongs in there.
_LONGEST = Path(__file__).with_name("longest.txt").read_text(encoding="ascii").split()

# Rubbish is looked for seldom: at Python's own pace that is a tenth of the time of a test that makes a hundred thousand
# rows.
_COLLECT_AFTER = 50_000, 20, 20

# Under each of these variables, a test that is skipped for such a reason fails the run; .ci/run sets them.
_FAILS_UNDER = {"PLEDGEWATCH_ALL_PACKAGES": NEEDS_PACKAGE, "PLEDGEWATCH_ALL_DATA": NEEDS_DATA}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and found stays to the end, so no search for rubbish goes through it: not while it grows, and
    not in any test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(*_COLLECT_AFTER)
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, all others in their order."""
    place = {f"test_{name}": number for number, name in enumerate(_LONGEST)}
    gone = [name for name in place if not Path(__file__).with_name(f"{name}.py").exists()]
    assert not gone, f"these are no test files: {gone}"
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What a test has logged travels as UTF-8 between the processes that share the tests, also of a name that is no
    text."""
    report.sections = [
        (name, text.encode("utf-8", "backslashreplace").decode("utf-8")) for name, text in report.sections
    ]


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A test that runs a program in this process sends the log to a stream that is closed after it, and tells more."""
    root = logging.getLogger()
    before, level = [*root.handlers], root.level
    yield
    for one in root.handlers[:]:
        if one not in before:
            root.removeHandler(one)
    root.setLevel(level)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator["ApiCloud"]:
    """The API where a container has sailed into port."""
    from api_cloud import ApiCloud  # noqa: PLC0415 - what only tests of the API need

    made = ApiCloud(tmp_path)
    made.sail_into_port()
    yield made
    made.close()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Debian's Chromium without a window. Skips where it is not installed."""
    from browsing import chromium  # noqa: PLC0415 - what only tests in a browser need

    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Fleet"]:
    """A small fleet at sea, for the console to show."""
    from browsing import Fleet  # noqa: PLC0415 - what only tests in a browser need

    made = Fleet(tmp_path_factory.mktemp("fleet"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def url(fleet: "Fleet") -> Iterator[str]:
    """Where the fleet's console is."""
    from browsing import served  # noqa: PLC0415 - what only tests in a browser need

    with served(fleet.cloud.client.app) as address:
        yield address


def pytest_terminal_summary(terminalreporter: Any, exitstatus: int, config: pytest.Config) -> None:
    """One line for each reason for which tests were skipped."""
    for reason, count in sorted(_reasons(terminalreporter).items()):
        end = ", which fails this run" if _fails(reason) else ""
        terminalreporter.write_line(f"not run: {count} {'test' if count == 1 else 'tests'}: {reason}{end}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where everything is said to be there, a test skipped for want of it is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if any(_fails(reason) for reason in _reasons(reporter)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _fails(reason: str) -> bool:
    return any(reason.startswith(start) and os.environ.get(name) for name, start in _FAILS_UNDER.items())


def _reasons(reporter: Any) -> Counter[str]:
    reasons: Counter[str] = Counter()
    for report in reporter.stats.get("skipped", []) if reporter else []:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reasons[text.removeprefix("Skipped: ")] += 1
    return reasons
