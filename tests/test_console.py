"""The console's files as they are served: whole, typed, asked for again only where they changed, and safe."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_cloud import ApiCloud, assert_problem
from seeing import USERS, Seeing

from pledgewatch_cloud.console import pages
from pledgewatch_cloud.decide.alerts import AlertState
from pledgewatch_cloud.decide.causes import DOUBTS
from pledgewatch_cloud.decide.collateral.covenants import Cover
from pledgewatch_cloud.decide.collateral.result import STEPS
from pledgewatch_cloud.decide.collateral.terms import CLASSES
from pledgewatch_cloud.decide.condition import SEVERITIES
from pledgewatch_cloud.decide.currencies import EXPONENTS
from pledgewatch_cloud.decide.grade import GRADE_NAMES, Doubt
from pledgewatch_cloud.decide.items.alert_rules import CAUSES
from pledgewatch_cloud.decide.items.papers import PAPER_KINDS
from pledgewatch_cloud.decide.milestones.clauses import FACT_PARAMETERS
from pledgewatch_cloud.decide.milestones.lifecycle import MilestoneState
from pledgewatch_cloud.decide.sentences import SENTENCES
from pledgewatch_cloud.decide.trade.vocabulary import CLASSIFIERS, NOTICE_KINDS
from pledgewatch_cloud.decide.warehouse.cases import KINDS
from pledgewatch_cloud.decide.warehouse.held import STATES

ROOT = Path(__file__).resolve().parent.parent
CONSOLE = ROOT / "cloud" / "pledgewatch_cloud" / "console"
SCRIPTS = sorted(CONSOLE.glob("*.js"))
WORDS = ("words.js", "words_evidence.js")


def words_of() -> list[tuple[str, str, str]]:
    """The console's words: their names, in English and in Chinese."""
    return [(row[0], row[1], row[2]) for file in WORDS for row in rows_of(file) if len(row) == 3]


def rows_of(file: str, table: str = "") -> list[list[str]]:
    """The rows of a file's tables, or of the one that is named."""
    text = (CONSOLE / file).read_text(encoding="utf-8")
    found = re.findall(r"(\w+) = (?:rows\()?`\n(.*?)\n`", text, re.DOTALL)
    return [line.split("|") for name, lines in found if name == table or not table for line in lines.split("\n")]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ApiCloud]:
    made = ApiCloud(tmp_path)
    yield made
    made.close()


def test_every_file_that_a_page_names_is_served_as_what_it_is(cloud: ApiCloud) -> None:
    named = {"console/vendor/land.json"}
    for page in ("/", "/docs"):
        answer = cloud.client.get(page)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        named |= {*re.findall(r'(?:src|href)="(console/[^"]+)"', answer.text)}
    for one in SCRIPTS:
        named |= {f"console/{name}" for name in re.findall(r'from "\./([^"]+)"', one.read_text(encoding="utf-8"))}
    kinds = {"js": "text/javascript", "css": "text/css", "json": "application/json", "svg": "image/svg+xml"}
    assert len(named) > len(SCRIPTS)
    for name in named:
        answer = cloud.client.get(f"/{name}")
        assert answer.status_code == 200, name
        assert answer.headers["content-type"].split(";")[0] == kinds[name.rpartition(".")[2]]


def test_what_a_browser_has_is_not_sent_again(cloud: ApiCloud) -> None:
    first = cloud.client.get("/console/app.js")
    tag = first.headers["etag"]
    again = cloud.client.get("/console/app.js", headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert cloud.client.get("/console/app.js", headers={"if-none-match": '"other"'}).content == first.content


@pytest.mark.parametrize("path", ["ghost.js", "__init__.py", "../__init__.py", "%2e%2e/api/app.py", "vendor", ""])
def test_nothing_else_is_served(cloud: ApiCloud, path: str) -> None:
    assert_problem(cloud.client.get(f"/console/{path}"), 404)


def test_no_script_and_no_style_is_run_that_is_not_a_file_of_ours(cloud: ApiCloud) -> None:
    for path in ("/", "/docs", "/console/app.js", "/healthz"):
        policy = cloud.client.get(path).headers["content-security-policy"]
        assert "script-src 'self';" in policy
        assert "style-src 'self';" in policy
        assert "unsafe" not in policy
    for one in SCRIPTS:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\(|new Function", one.read_text("utf-8")), (
            one
        )


def test_every_word_that_is_used_is_known_in_both_languages() -> None:
    words = words_of()
    assert len(words) == sum(len(rows_of(name)) for name in WORDS), "each word has two languages"
    assert len(words) > 400
    for name, english, chinese in words:
        assert chinese != english, name
        assert name == "language" or re.search(r"[\u4e00-\u9fff]", chinese), name
    known = {name for name, _, _ in words}
    assert len(known) == len(words), "no name has two pairs"
    scripts = [one.read_text(encoding="utf-8") for one in SCRIPTS]
    used = {name for text in scripts for name in re.findall(r'\b(?:t|title|note)\("(\w+)"\)', text)}
    used |= {name for text in scripts for name in names_in(text, "table") | names_in(text, "figures")}
    used |= {name for text in scripts for name in names_in(text, "legend")}
    assert len(used) > 80
    assert not used - known


def names_in(text: str, call: str) -> set[str]:
    """The words that tables are called and headed by, or figures or signs are."""
    heads = {
        "table": r'\btable\("(\w+)"|(?<=[\[ ])"#?([a-z]\w*)"(?=[,\]])',
        "figures": r'\["(\w+)", (?!")',
        "legend": r', "(\w+)"\]',
    }
    found = set[str]()
    for begun in re.finditer(rf"\b{call}\((?:\"\w+\"|word|\[)", text):
        end, depth = text.index("[", begun.start()) + 1, 1
        while depth:
            depth += {"[": 1, "]": -1}.get(text[end], 0)
            end += 1
        found |= {name for one in re.finditer(heads[call], text[begun.start() : end]) for name in one.groups() if name}
    return found


def test_what_the_api_calls_by_a_name_has_a_word_in_both_languages() -> None:
    known = {name for name, _, _ in words_of()}
    wanted = {
        "told": CAUSES,
        "doubt": [one.value for one in Doubt],
        "milestone": [one.value for one in MilestoneState],
        "alert": [one.value for one in AlertState],
        "severity": SEVERITIES,
        "step": STEPS,
        "class": CLASSES,
        "held": STATES,
        "case": KINDS,
    }
    names = {f"{group}_{name}" for group, some in wanted.items() for name in some}
    assert not names - known


def test_every_sentence_of_the_api_is_said_in_chinese_with_the_same_in_its_places() -> None:
    said = {row[0]: row[1] for row in rows_of("words_grounds.js", "GROUNDS")}
    assert said.keys() == SENTENCES.keys()
    for code, chinese in said.items():
        assert set(re.findall(r"\{(\w+)\}", chinese)) == set(re.findall(r"\{(\w+)", SENTENCES[code])), code
        english = re.search(r"[A-Za-z]{2,}", re.sub(r"\{\w+\}|EUR", "", chinese))
        assert english is None, code
    names = {row[0]: row[1] for row in rows_of("words_names.js", "NAMES")}
    wanted = {*FACT_PARAMETERS, *NOTICE_KINDS, *PAPER_KINDS, *GRADE_NAMES, *CLASSIFIERS, *DOUBTS}
    wanted |= {"withdrawn", "replaced", *(one.name.lower() for one in Cover)}
    assert not wanted - names.keys()


def test_one_word_says_one_thing() -> None:
    """What is one word in English is one in Chinese: else it says two things, as "released" once did of money and of
    goods."""
    said: dict[str, set[str]] = {}
    for _, english, chinese in words_of():
        said.setdefault(english.casefold(), set()).add(chinese)
    assert not {word: some for word, some in said.items() if len(some) > 1}


@pytest.mark.parametrize("folder", [CONSOLE / "vendor", ROOT / "tests" / "data" / "axe-core"], ids=["vendor", "axe"])
def test_what_is_not_ours_is_what_its_note_says(folder: Path) -> None:
    note = (folder / "README.md").read_text(encoding="utf-8")
    others = [one for one in folder.iterdir() if one.suffix in {".js", ".css", ".json"}]
    assert others
    for one in others:
        assert hashlib.sha256(one.read_bytes()).hexdigest() in note, one.name
    assert any("LICENSE" in one.name for one in folder.iterdir())


def test_who_has_no_javascript_is_told_so_in_both_languages() -> None:
    page = pages(EXPONENTS)["index.html"].body.decode()
    found = re.search(r'<noscript>(.*?) <span lang="zh-Hans">(.*?)</span></noscript>', page)
    assert found, "each language is said to be what it is"
    english, chinese = found.groups()
    assert english.isascii()
    assert len(re.findall(r"[\u4e00-\u9fff]", chinese)) > 8


def test_the_console_stays_small() -> None:
    sizes = {name: len(page.body) for name, page in pages(EXPONENTS).items()}
    assert sizes["vendor/land.json"] < 300_000
    assert sum(size for name, size in sizes.items() if not name.startswith("vendor/")) < 180_000


def test_who_asks_is_told_as_whom_they_are_known(tmp_path: Path) -> None:
    seeing = Seeing(tmp_path)
    for name, sees_money in (("lender-one", True), ("operator-one", False), ("keeper-kim", True)):
        user = USERS[name].user
        found = {"user": name, "party": user["party"], "role": user["role"], "sees_money": sees_money}
        assert seeing.get(name, "/viewer") == found | {"may_write": True}
    assert_problem(seeing.client.get("/viewer", headers={"authorization": "Bearer pwk_x"}), 401)
    seeing.close()
