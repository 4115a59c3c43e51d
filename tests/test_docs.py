"""The documents say what is true: every link leads somewhere, every command and option exists."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pledgewatch_cloud import __main__ as cloud_main
from pledgewatch_cloud.decide import state
from pledgewatch_cloud.journal import sqlite
from pledgewatch_edge import __main__ as edge_main
from pledgewatch_edge.spool import log as spool_log
from pledgewatch_gateway import __main__ as gateway_main
from pledgewatch_sim import __main__ as sim_main

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
CLOUD = ROOT / "cloud" / "pledgewatch_cloud"
ROOMS = "|".join(
    sorted({path.parent.name for path in [*CLOUD.glob("*/__init__.py"), *CLOUD.glob("decide/*/__init__.py")]})
)
Words = tuple[str, ...]


def commands_of(parser: argparse.ArgumentParser, path: Words) -> Iterator[tuple[Words, frozenset[str]]]:
    """Every command of a program, by its words, with its options; a word that must be one of some is a command too."""
    options = frozenset(parser._option_string_actions)
    yield path, options
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                yield from commands_of(one, (*path, name))
        elif action.choices and not action.option_strings:
            yield from (((*path, str(one)), options) for one in action.choices)


PROGRAMS = {"cloud": cloud_main, "edge": edge_main, "gateway": gateway_main, "sim": sim_main}
COMMANDS = {path: options for name, main in PROGRAMS.items() for path, options in commands_of(main._parser(), (name,))}
GROUPS = {path[:-1] for path in COMMANDS}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
OTHERS = re.compile(r"(?:\.venv/bin/)?(?:make|openssl|apt-get|sudo|mosquitto|git|pip|curl|kill|python3?|\.ci/run)\b")
"""What begins a line or a span that is about another program."""


class Named(NamedTuple):
    """A command that a text names, as one of which it must be known, and the options that it gives it."""

    text: str
    paths: list[Words]
    options: list[str]


def commands_in(text: str) -> Iterator[Named]:
    """The commands in a line or span of code that names their programs."""
    for one in re.finditer(r"(?<![\w-])pledgewatch-(edge|cloud|sim|gateway)\s+([^#\n]*)", text):
        words = one[2].split()
        if words and re.fullmatch(r"[a-z-]+", words[0]):
            yield Named(one[0], followed((one[1],), words), OPTION.findall(one[2]))


def commands_in_span(text: str) -> Iterator[Named]:
    """The commands in a span of code; what is plainly one need not name its program: it has options, or two words."""
    found = list(commands_in(text))
    yield from found
    words = text.split()
    if found or not words or OTHERS.match(text):
        return
    begun = [path[:-1] for path in COMMANDS if len(path) > 1 and path[-1] == words[0]]
    is_group = any((*path, words[0]) in GROUPS for path in begun if len(path) == 1)
    if begun and (OPTION.search(text) or (is_group and len(words) > 1)):
        yield Named(text, [one for path in begun for one in followed(path, words)], OPTION.findall(text))


def followed(path: Words, words: list[str]) -> list[Words]:
    """Where words lead from a command, as far as there are commands; `a | b` is either. None where they are none."""
    if path not in GROUPS:
        return [path]
    names = re.match(r"[a-z-]+(?: \| [a-z-]+)*", " ".join(words))
    several = names[0].split(" | ") if names else []
    if not several or not all((*path, one) in COMMANDS for one in several):
        return []
    rest = words[2 * len(several) - 1 :]
    return [found for one in several for found in (followed((*path, one), rest) if rest else [(*path, one)])]


def blocks_and_rest(text: str) -> tuple[list[str], str]:
    """The lines of the code blocks of a page, continued ones put together, and the page without them."""
    lines: list[str] = []

    def take(block: re.Match[str]) -> str:
        lines.extend(re.sub(r"\s*\\\n\s*", " ", block[0]).splitlines())
        return "\n"

    rest = re.sub(r"^```.*?^```$", take, text, flags=re.MULTILINE | re.DOTALL)
    return lines, re.sub(r"(?:(?<=\n\n)|(?<=:\n)|(?<=^## Tests\n))(?: {4}.*\n)+", take, rest)


def spans_of(text: str) -> list[str]:
    """The spans of code in a text, each on one line."""
    return [re.sub(r"\s+", " ", one) for one in re.findall(r"`([^`]+)`", text)]


def commands_of_page(page: Path) -> list[Named]:
    """The commands that a page names, in its blocks and spans of code."""
    lines, rest = blocks_and_rest(page.read_text(encoding="utf-8"))
    in_spans = (one for text in spans_of(rest) for one in commands_in_span(text))
    return [*(one for line in lines for one in commands_in(line)), *in_spans]


def assert_known(one: Named) -> None:
    """It is a command, and one that has these options."""
    assert one.paths, f"no such command: {one.text}"
    for option in one.options:
        assert any(option in COMMANDS[path] for path in one.paths), f"{option} is no option: {one.text}"


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
    for name in re.findall(rf"(?<![\w/.])((?:{ROOMS})/[A-Za-z0-9_./-]+\.(?:py|html))\b", text):
        assert (CLOUD / name).exists() or (CLOUD / "decide" / name).exists(), f"{page.name} names {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_exists(page: Path) -> None:
    for one in commands_of_page(page):
        assert_known(one)
    _, rest = blocks_and_rest(page.read_text(encoding="utf-8"))
    scripts = "".join(one.read_text(encoding="utf-8") for one in (ROOT / "scripts").glob("*.py"))
    every = frozenset(OPTION.findall(scripts)).union(*COMMANDS.values())
    for text in spans_of(rest):
        for option in OPTION.findall(text) if not OTHERS.match(text) else ():
            assert option in every, f"{page.name}: no command or script has {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_in_a_row_of_a_table_are_those_of_its_commands(page: Path) -> None:
    _, rest = blocks_and_rest(page.read_text(encoding="utf-8"))
    is_of_commands = False
    for line in rest.splitlines():
        cells = line.split("|")[1:-1] if line.startswith("|") else []
        is_of_commands = bool(cells) and (is_of_commands or cells[0].strip() == "command")
        spans = [one for cell in cells for one in spans_of(cell)]
        paths = [path for text in spans for one in commands_in_span(text) for path in one.paths]
        if is_of_commands and not paths:
            for name in spans_of(cells[0]):
                named = [path for path in COMMANDS if path[-1] == name.split()[0]]
                assert named, f"{page.name}: no such command: {name}"
                paths += named
        for text in spans if paths else ():
            for option in OPTION.findall(text):
                assert any(option in COMMANDS[path] for path in paths), f"{page.name}: {option} in {line}"


def test_commands_are_found_and_faults_in_them_are_seen() -> None:
    assert len([one for page in PAGES for one in commands_of_page(page)]) > 60
    for text in (
        *("pledgewatch-cloud runs", "pledgewatch-cloud receipts isue", "registry server --config FILE"),
        *("counts sing COUNT.json", "pledgewatch-cloud stock show | period --data FOLDER", "cases list --date FOLDER"),
        *(
            "pledgewatch-sim warehouse --theft 1",
            "verify FILE --isuer JWK",
            "receipts key knew",
            "pledgewatch-cloud series inti --config FILE",
        ),
    ):
        (one,) = commands_in_span(text)
        with pytest.raises(AssertionError):
            assert_known(one)


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
    assert f"journal {sqlite.FORMAT}, state {state.FORMAT}, spool {spool_log.FORMAT};" in text
