"""TOML from anybody: what is no TOML, or too deep, is one error."""

import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_wire.toml_text import DEPTH_MAX, TomlError, read_toml


def dotted(depth: int) -> str:
    return ".".join(["a"] * depth) + " = 1"


def bracketed(depth: int) -> str:
    return "a = " + (depth - 1) * "[" + (depth - 1) * "]"


def braced(depth: int) -> str:
    return "a = " + (depth - 1) * "{a = " + "1" + (depth - 1) * "}"


@pytest.mark.parametrize("nested", [dotted, bracketed, braced])
def test_it_is_read_up_to_a_depth(nested: object) -> None:
    assert callable(nested)
    assert read_toml(nested(DEPTH_MAX))
    for depth in (DEPTH_MAX + 1, 400, 5_000):
        with pytest.raises(TomlError, match="it is nested more than 32 deep"):
            read_toml(nested(depth))


@pytest.mark.parametrize("text", ["a = [" + 20_000 * "[", "[" + "a." * 20_000 + "a]", "a = " + 20_000 * "{a="])
def test_what_is_nested_without_an_end_is_an_error_and_nothing_else(text: str) -> None:
    with pytest.raises(TomlError, match="nested"):
        read_toml(text)


@pytest.mark.parametrize("text", ["= 1", "a = 1\na = 2", "a = " + 5_000 * "9", "a = 1979-99-99", "a = 'x", "\x00"])
def test_what_is_no_toml_is_the_same_error(text: str) -> None:
    with pytest.raises(TomlError):
        read_toml(text)


def test_wide_is_not_deep() -> None:
    text = "".join(f"[[rules]]\nchannels = [{number}, [1, 2]]\n" for number in range(1_000))
    assert len(read_toml(text)["rules"]) == 1_000


@pytest.mark.parametrize(
    "text",
    [
        ".".join("a" * 8_190) + " = 1",
        "[" + ".".join("a" * 8_190) + "]",
        " . ".join(['"a.b"', "'c'"] * 900) + " = 1",
        "x = {" + ".".join("a" * 8_190) + " = 1}",
        "x = {b = 1, " + ".".join("a" * 8_190) + " = 1}",
        'x = "\\" # "\n' + ".".join("a" * 8_190) + " = 1",
        "x = '\\'\n" + ".".join("a" * 8_190) + " = 1",
        '"""\n' + '\\"""\n' * 3_270 + "\\",
        '"""\n' + ".".join("a" * 8_190) + "\n" + ".".join("a" * 8_190) + " = 1",
    ],
)
def test_keys_with_thousands_of_dots_are_refused_before_they_are_parsed(text: str) -> None:
    """The parser copies what it has of a key at each dot: 16 KB of them are a second."""
    begun_s = time.process_time()
    with pytest.raises(TomlError):
        read_toml(text)
    assert time.process_time() - begun_s < 0.2


DOTS = ".".join("a" * 100)


@pytest.mark.parametrize(
    "text",
    [
        f"x = '{DOTS}'\ny = '{DOTS}'",
        f'x = "{DOTS} \\" {DOTS}"',
        f'x = """\n{DOTS}\n"" {DOTS} \\""" {DOTS}"""',
        f"x = '''\n{DOTS}\n'' {DOTS}'''",
        f'x = """{DOTS}""""\ny = 1',
        f"# {DOTS}\nx = 1 # {DOTS} = 'x\ny = 2",
        f'"{DOTS}" = 1',
        "x = [" + ", ".join(["1.5"] * 100) + "]",
        "\n".join(f"a.b.c{number} = 1.5" for number in range(100)),
    ],
)
def test_dots_that_are_of_no_key_do_not_count(text: str) -> None:
    assert read_toml(text) == tomllib.loads(text)


@given(st.text("\"'#\\.a\n", max_size=40))
def test_what_the_parser_takes_is_taken_whatever_stands_in_its_strings(text: str) -> None:
    long = text.replace("a", "a.b.c")
    try:
        expected = tomllib.loads(f"x = {long}\ny = 1")
    except ValueError:
        return
    assert read_toml(f"x = {long}\ny = 1") == expected
