"""A system package's program: the first of those that will do is taken, and the first is missed where none is there."""

from pathlib import Path

import pytest
from needed import NEEDS_PACKAGE, system_program


def test_the_first_program_that_is_there_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match=f"^{NEEDS_PACKAGE} lean-browser$"):
        system_program("lean-browser", "whole-browser")
    for name in ("whole-browser", "lean-browser"):
        program = tmp_path / name
        program.touch(mode=0o755)
        assert system_program("lean-browser", "whole-browser") == str(program)
