"""The documents say what is true: every link leads somewhere, every command and option exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BIN = Path(sys.executable).parent


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for name in re.findall(
        r"(?<![\w/.])((?:tests|docs|scripts|samples|cloud|edge|wire)/[A-Za-z0-9_./-]+\.(?:py|md|toml|proto|conf|yaml))\b",
        text,
    ):
        assert (ROOT / name).exists(), f"{page.name} names {name}"


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


def test_every_room_of_the_plan_is_there() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for room in ("decide", "journal", "ingest", "outbox", "series", "api", "console"):
        assert f"{room}/" in text
        assert (ROOT / "cloud" / "pledgewatch_cloud" / room / "__init__.py").exists()
