"""TOML from anybody: what is no TOML, or too deep, is one error."""

import pytest

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
