"""Set-up asks again where an answer cannot be used, at once, and ends where nobody answers."""

import contextlib
import io
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from boards import one_probe, setup
from edge_support import DEVICE, OPERATOR

WHO = ["--operator", OPERATOR, "--device", DEVICE, "--broker", "b"]


@pytest.fixture
def bare(tmp_path: Path) -> list[str]:
    return one_probe(tmp_path)


def test_who_it_is_is_asked_again_before_anything_is_looked_for(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ["pwclaim1.!!!!", "", "Harbour Line", OPERATOR, "", DEVICE, "a..b", f"b:{5_000 * '9'}", "mqtt.example.org"]
    lines = "".join(f"{line}\n" for line in [*wrong, "", "", "yes"])
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert setup(tmp_path, "--watch", "0", "--no-self-test", "--state-folder", str(tmp_path / "state"), *bare) == 0
    said, _, later = capsys.readouterr().out.partition("looking for sensors")
    for complaint in (
        "the claim is not whole; copy it again",
        "'Harbour Line' cannot be a name",
        "device cannot be empty",
        "'a..b' cannot be a computer's name",
        "is no HOST:PORT",
    ):
        assert complaint in said
        assert complaint not in later
    found = tomllib.loads((tmp_path / "edge.toml").read_text(encoding="utf-8"))
    assert found["broker"]["host"] == "mqtt.example.org"


@pytest.mark.parametrize("claim", ["pwclaim1.!!!!", ""])
def test_a_claim_that_is_none_is_said_before_anything_is_looked_for(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str], claim: str
) -> None:
    assert setup(tmp_path, "--yes", "--watch", "0", "--no-self-test", "--claim", claim, *bare) == 1
    said = capsys.readouterr()
    assert "claim" in said.err
    assert "looking for sensors" not in said.out


@pytest.mark.parametrize("option", ["--watch", "--seconds"])
@pytest.mark.parametrize("said", ["nan", "-inf", "inf", "-1", "x"])
def test_a_time_that_is_none_is_refused(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str], option: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        setup(tmp_path, "--yes", *WHO, *bare, f"{option}={said}")
    assert ended.value.code == 2
    assert f"argument {option}: " in capsys.readouterr().err


def test_ctrl_d_ends_set_up_at_the_table_too(tmp_path: Path, bare: list[str]) -> None:
    ours, theirs = os.openpty()
    where = ["--config", str(tmp_path / "edge.toml"), "--no-unit", "--no-self-test", *WHO, *bare]
    words = [sys.executable, "-m", "pledgewatch_edge", "setup", "--state-folder", str(tmp_path / "state"), *where]
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 4_096):
                said += chunk
                if b"4.12" in chunk:
                    os.write(ours, b"\x04")
        assert process.wait(10) == 2, said
    os.close(ours)
    assert b"nobody answers" in said
    assert b"probes [1]" not in said
