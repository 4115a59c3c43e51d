"""Sentences remember of what they were made: as text, as words and names, as what a page makes its own sentence of."""

import re

import pytest
from builders import NOON_MS

from pledgewatch_cloud.decide.sentences import SENTENCES, Ref, Sentence, as_told, parts_of, say, together

CASES = (Ref("cases", "1.0"), Ref("cases", "2.0"))


def test_a_sentence_is_text_and_keeps_its_names() -> None:
    said = say("missing_by_case", missing=3, quantity=9, cases=CASES)
    assert said == "3 of 9 missing by case 1.0 2.0"
    assert parts_of(said) == ("3 of 9 missing by case ", CASES[0], " ", CASES[1])
    cases = [{"noun": "cases", "id": "1.0"}, {"noun": "cases", "id": "2.0"}]
    assert as_told(said) == {"code": "missing_by_case", "given": {"missing": 3, "quantity": 9, "cases": cases}}


def test_a_moment_is_written_and_told_as_a_number() -> None:
    reading = say("reading", device="pi-7", epoch=1, sequence=4, at_ms=NOON_MS)
    said = say("temperatures_up_to", reading=reading)
    assert said == "temperatures up to pi-7 1 4 of 2026-01-01T12:00:00Z"
    assert (as_told(said) or {})["given"]["reading"]["given"]["at_ms"] == NOON_MS


def test_sentences_behind_each_other_are_one_and_what_is_said_twice_is_said_once() -> None:
    one, other = say("not_met"), say("is_not_known")
    assert together(["", ""]) == ""
    assert together([one, "", one]) is one
    both = together([one, other, one])
    assert both == f"{one}; {other}"
    assert isinstance(both, Sentence)
    assert [each["code"] for each in (as_told(both) or {})["given"]["some"]] == ["not_met", "is_not_known"]
    assert (as_told("by hand"), as_told("")) == ({"code": "text", "given": {"text": "by hand"}}, None)


@pytest.mark.parametrize("code", SENTENCES)
def test_what_stands_in_a_place_stands_in_the_sentence(code: str) -> None:
    names = re.findall(r"\{(\w+)", SENTENCES[code])
    said = say(code, **{name: Ref("cases", f"<{name}>") for name in names})
    assert all(f"<{name}>" in said for name in names)
    assert "{" not in said
    assert "".join(one if isinstance(one, str) else one.id for one in parts_of(said)) == said
