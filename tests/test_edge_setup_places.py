"""Set-up looks at the places that it writes before it asks anything, and names what cures each."""

import errno
import io
import os
import sys
from pathlib import Path

import pytest
from boards import one_probe, setup
from edge_support import DEVICE, OPERATOR

from pledgewatch_edge.__main__ import main
from pledgewatch_edge.install import cures, unit

WHO = ["--operator", OPERATOR, "--device", DEVICE, "--broker", "b"]
QUICK = ["--yes", "--watch", "0", "--no-self-test"]


@pytest.fixture
def bare(tmp_path: Path) -> list[str]:
    return one_probe(tmp_path)


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Somebody who is not root; the folders that he may not write."""
    closed: list[Path] = []
    monkeypatch.setattr(os, "geteuid", lambda: 1_000)
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) not in closed)
    return closed


@pytest.mark.parametrize("place", ["config", "state", "units"])
def test_who_forgot_sudo_learns_it_before_he_is_asked(
    tmp_path: Path,
    bare: list[str],
    nobody: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    place: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    for name in ("etc", "var", "units"):
        (tmp_path / name).mkdir()
    nobody.append(tmp_path / {"config": "etc", "state": "var", "units": "units"}[place])
    where = ["--config", str(tmp_path / "etc" / "pledgewatch" / "edge.toml"), "--unit-folder", str(tmp_path / "units")]
    state = str(tmp_path / "var" / "pledgewatch" / "one")
    assert main(["setup", *where, "--state-folder", state, *bare]) == (2 if place == "config" else 1)
    said = capsys.readouterr()
    assert said.out == "", "nothing was asked or looked for"
    assert "Permission denied; run this as root (sudo)" in said.err
    assert str(nobody[0]) in said.err
    assert not (tmp_path / "etc" / "pledgewatch").exists()


def test_root_is_not_told_to_be_root(tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for state in (tmp_path / "file", tmp_path / "file" / "state"):
        (tmp_path / "file").touch()
        assert setup(tmp_path, *QUICK, *WHO, "--no-unit", "--state-folder", str(state), *bare) == 1
        said = capsys.readouterr().err
        assert "Not a directory; choose another name: a file stands where a folder is needed" in said
        assert "root" not in said.replace(str(tmp_path), "")
    assert not (tmp_path / "edge.toml").exists()


def test_a_name_that_is_too_long_is_to_be_shorter(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--config", "--state-folder", "--unit-folder"):
        assert (
            setup(tmp_path, *QUICK, *WHO, "--state-folder", "s", *bare, option, str(tmp_path / (300 * "x") / "y")) > 0
        )
        said = capsys.readouterr().err
        assert "File name too long" in said, option
        assert "choose a shorter name" in said, option
        assert "root" not in said.replace(str(tmp_path), "")


def test_a_folder_for_the_service_that_is_not_there_is_said_before_anything_is_written(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A machine without systemd."""
    gone = ["--unit-folder", str(tmp_path / "etc" / "systemd" / "system"), "--state-folder", str(tmp_path / "state")]
    assert setup(tmp_path, *QUICK, *WHO, *bare, *gone) == 1
    said = capsys.readouterr().err
    assert "No such file or directory; make its folder first, or run it with another --unit-folder or --no-unit" in said
    assert not (tmp_path / "edge.toml").exists()


def test_that_nothing_is_started_is_said(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unit, "is_of_this_machine", lambda _: False)
    monkeypatch.setattr("pledgewatch_edge.install.setup_command.SYSTEM_FOLDER", tmp_path / "units")
    assert setup(tmp_path, *QUICK, *WHO, *bare, "--state-folder", str(tmp_path / "state")) == 0
    assert "the service was not started: no systemd runs here\n" in capsys.readouterr().out


def test_a_disk_that_is_read_only_is_no_question_of_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result([0] * 8 + [os.ST_RDONLY, 255]))
    with pytest.raises(OSError, match="Read-only file system") as error:
        cures.require_place(tmp_path / "state")
    assert error.value.errno == errno.EROFS
    assert "choose another place" in cures.in_words(error.value)


@pytest.mark.parametrize("option", ["--config", "--state-folder", "--devices", "--one-wire", "--unit-folder"])
def test_a_name_that_no_configuration_can_hold_is_refused(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str], option: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        setup(tmp_path, *QUICK, *WHO, *bare, option, os.fsdecode(bytes(tmp_path) + b"/\xff"))
    assert ended.value.code == 2
    assert r"\udcff' is not UTF-8" in capsys.readouterr().err
    assert not (tmp_path / "edge.toml").exists()


def test_a_claim_takes_no_such_name_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["claim", "x", "--config", str(tmp_path / "edge.toml"), "--state-folder", os.fsdecode(b"/tmp/\xff")])
    assert ended.value.code == 2
    assert r"\udcff' is not UTF-8" in capsys.readouterr().err
