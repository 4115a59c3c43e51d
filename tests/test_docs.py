"""The documents say what is true: every link leads somewhere, every command and option exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pledgewatch_cloud.decide import state
from pledgewatch_cloud.journal import sqlite
from pledgewatch_edge import spool

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BIN = Path(sys.executable).parent


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for name in re.findall(
        r"(?<![\w/.])((?:tests|docs|scripts|samples|cloud|edge|wire|gateway|firmware-sim)/[A-Za-z0-9_./-]+\.(?:py|md|toml|proto|conf|yaml|json))\b",
        text,
    ):
        assert (ROOT / name).exists(), f"{page.name} names {name}"
    rooms = "api|backtest|certificate|commands|console|decide|ingest|journal|notices|outbox|series|spine"
    for name in re.findall(rf"(?<![\w/.])((?:{rooms})/[A-Za-z0-9_./-]+\.(?:py|html))\b", text):
        assert (ROOT / "cloud" / "pledgewatch_cloud" / name).exists(), f"{page.name} names {name}"


def test_every_command_in_the_readme_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = set(re.findall(r"(?:\.venv/bin/)?(pledgewatch-(?:edge|cloud|sim|gateway)) ([a-z]+)", text))
    assert len(commands) > 6
    for program, command in commands:
        done = subprocess.run([BIN / program, command, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{program} {command}"
        for option in re.findall(rf"{program} {command}[^`\n]*?(--[a-z-]+)", text):
            assert option in done.stdout, f"{program} {command} {option}"


def test_the_readme_names_the_make_targets_and_the_packages() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for target in re.findall(r"make ([a-z]+)", text):
        assert target in targets
    packages = (ROOT / "scripts" / "system-packages").read_text(encoding="utf-8").strip()
    assert f"apt-get install {packages}" in text


def test_the_map_shows_every_room_and_module_of_the_cloud_and_no_other() -> None:
    cloud = ROOT / "cloud" / "pledgewatch_cloud"
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    shown = text[text.index("cloud/pledgewatch_cloud/\n") : text.index("firmware-sim/pledgewatch_sim/")]
    rooms = {path.parent.name for path in cloud.glob("*/__init__.py")}
    modules = {path.name for path in cloud.glob("*.py")} - {"__init__.py"}
    assert set(re.findall(r"\b(\w+\.py)\b", shown)) == modules
    assert set(re.findall(r"(?:^ {4}|(?<=/) {2})(\w+)/", shown, re.MULTILINE)) == rooms


def test_the_changelog_tells_the_formats_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"journal {sqlite.FORMAT}, state {state.FORMAT}, spool {spool._FORMAT};" in text
