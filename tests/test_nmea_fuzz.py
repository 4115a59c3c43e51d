"""The parser under random and mutated lines: a share of what scripts/fuzz_nmea.py hears to the end."""

import pytest
from fuzzing import TALKERS, assert_not_fooled, lines

from pledgewatch_edge import fixes
from pledgewatch_edge.framing import Framed, LineFramer

LINES = 4_000


@pytest.mark.parametrize("seed", [1, 20_261_127])
def test_no_line_raises_and_none_with_a_wrong_checksum_makes_a_fix(seed: int) -> None:
    heard = assert_not_fooled(lines(seed, LINES))
    assert heard.lines == LINES
    assert LINES // 3 < heard.right < LINES, "both kinds have come"
    assert heard.fixes > LINES // 20


def test_the_lines_are_of_every_talker_and_the_same_for_the_same_seed() -> None:
    some = list(lines(7, 2_000))
    assert some == list(lines(7, 2_000))
    assert some != list(lines(8, 2_000))
    for talker in TALKERS:
        assert any(line.data.startswith(f"${talker}RMC".encode()) for line in some)
    assert any(line.is_frame for line in some)


def test_a_parser_that_believes_a_wrong_checksum_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Credulous(LineFramer):
        def feed(self, data: bytes) -> list[Framed]:
            return [one._replace(is_sound=True) for one in super().feed(data)]

    monkeypatch.setattr(fixes, "LineFramer", Credulous)
    with pytest.raises(AssertionError, match="what is right of it"):
        assert_not_fooled(lines(1, LINES))
