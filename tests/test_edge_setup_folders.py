"""The state folder that set-up is told, and makes the service's: which it is, and what it never touches."""

import contextlib
import os
import pwd
import re
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from boards import one_probe, setup
from edge_support import DEVICE, OPERATOR
from enrolling import enrolling

from pledgewatch_edge import config_file
from pledgewatch_edge.__main__ import main
from pledgewatch_edge.identity import KEY_FILE, load_or_create_key
from pledgewatch_edge.install import unit
from pledgewatch_edge.install.unit import UnitError, give_away
from pledgewatch_edge.ownership import User, acting, user_of

WHO = ["--operator", OPERATOR, "--device", DEVICE, "--broker", "127.0.0.1:1"]
QUICK = ["--yes", "--watch", "0", "--no-self-test"]


@pytest.fixture
def bare(tmp_path: Path) -> list[str]:
    return one_probe(tmp_path)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """What is given away, by inode. Only root may do it, so nothing is."""
    found: set[int] = set()

    def chown(
        path: Path | int, user: int, group: int, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> None:
        found.add(os.stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks).st_ino)

    monkeypatch.setattr(unit, "USER", pwd.getpwuid(os.geteuid()).pw_name)
    monkeypatch.setattr("grp.getgrnam", lambda _: SimpleNamespace(gr_gid=os.getegid()))
    monkeypatch.setattr("os.chown", chown)
    return found


def inodes(*paths: Path) -> set[int]:
    return {path.lstat().st_ino for path in paths}


def test_a_link_in_the_state_folder_gives_nothing_away_that_is_outside(tmp_path: Path, given: set[int]) -> None:
    state, secrets = tmp_path / "state", tmp_path / "secrets"
    load_or_create_key(state)
    secrets.mkdir()
    (secrets / "shadow").write_text("root", encoding="ascii")
    (state / "spool").mkdir()
    (state / "spool" / "reading").touch()
    (state / "spool" / "file").symlink_to(secrets / "shadow")
    (state / "folder").symlink_to(secrets)
    (state / "dangling").symlink_to(tmp_path / "gone")
    give_away(state)
    assert given == inodes(state, *state.rglob("*"))
    assert not given & inodes(secrets, secrets / "shadow")


def test_a_state_folder_that_is_a_link_is_named(tmp_path: Path, given: set[int]) -> None:
    load_or_create_key(tmp_path / "real")
    (tmp_path / "state").symlink_to(tmp_path / "real")
    with pytest.raises(UnitError, match="is a link or no folder; name the folder itself"):
        give_away(tmp_path / "state")
    assert not given


@pytest.mark.parametrize("there", [".ssh", "spool"])
def test_a_folder_of_others_is_not_made_the_services(
    tmp_path: Path,
    bare: list[str],
    given: set[int],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    there: str,
) -> None:
    """A home, and /var, which has a spool too."""
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(unit, "is_of_this_machine", lambda _: True)
    monkeypatch.setattr(unit, "is_up", lambda: False)
    monkeypatch.setattr(unit, "systemctl", lambda *words: asked.append(words))
    home = tmp_path / "home"
    (home / there).mkdir(parents=True)
    options = [*QUICK, *WHO, "--state-folder", str(home), *bare]
    assert setup(tmp_path, *options) == 1
    assert f"{home} has neither keys nor readings of an agent, but {there}, and all in it" in capsys.readouterr().err
    with pytest.raises(UnitError, match="neither keys nor readings"):
        give_away(home)
    assert not given
    assert not asked
    assert not (tmp_path / "edge.toml").exists(), "before anything is written"
    assert setup(tmp_path, *options, "--no-unit") == 0, "nothing is given away"
    load_or_create_key(home)
    assert setup(tmp_path, *options) == 0
    assert inodes(home, home / KEY_FILE) <= given


def test_a_state_folder_is_taken_from_where_one_stands_each_time(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    options = [*QUICK, *WHO, "--state-folder", "state", "--no-unit", *bare]
    for _ in range(2):
        assert setup(tmp_path, *options) == 0
        document = tomllib.loads((tmp_path / "edge.toml").read_text(encoding="utf-8"))
        assert document["device"]["state_folder"] == str(tmp_path / "here" / "state")


def test_a_claim_and_what_comes_after_it_take_the_same_state_folder(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    options = [*QUICK, "--state-folder", "state", "--no-unit", *bare]
    with enrolling(tmp_path / "cloud") as cloud:
        assert setup(tmp_path, *options, "--claim", cloud.invite(DEVICE)) == 0
    assert (tmp_path / "here" / "state" / KEY_FILE).exists()
    assert setup(tmp_path, *options) == 0, "the same again is no difference"


def test_a_claim_takes_another_state_folder_with_replace_once_the_keys_are_there(
    tmp_path: Path, bare: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "state", tmp_path / "data"
    assert setup(tmp_path, *QUICK, *WHO, "--state-folder", str(old), "--no-unit", *bare) == 0
    load_or_create_key(old)
    with enrolling(tmp_path / "cloud") as cloud:
        claim = cloud.invite(DEVICE)
        options = ["--claim", claim, "--state-folder", str(new)]
        again = [*QUICK, "--no-unit", *bare, *options]
        assert setup(tmp_path, *again) == 1
        assert "leave out --state-folder, or run the same with --replace" in capsys.readouterr().err
        assert setup(tmp_path, *again, "--replace") == 1
        assert f"mv {old} {new}" in capsys.readouterr().err
        assert main(["claim", claim, *options[2:], "--config", str(tmp_path / "edge.toml"), "--replace"]) == 1
        assert f"{new} has no keys; stop the agent and move all" in capsys.readouterr().err
        assert not new.exists()
        assert not cloud.asked, "the claim is not spent"
        old.rename(new)
        assert setup(tmp_path, *again, "--replace") == 0
    document = tomllib.loads((tmp_path / "edge.toml").read_text(encoding="utf-8"))
    assert document["device"]["state_folder"] == str(new)
    assert document["broker"]["key_file"].startswith(f"{new}/")
    assert not old.exists()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody comes to, which one of pytest's is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> int:
    """The number of the service's user: a real other one for root, else who runs the tests."""
    uid = 65_534 if os.geteuid() == 0 else os.geteuid()
    gid = pwd.getpwuid(uid).pw_gid
    monkeypatch.setattr(unit, "USER", pwd.getpwuid(uid).pw_name)
    monkeypatch.setattr("grp.getgrnam", lambda _: SimpleNamespace(gr_gid=gid))
    monkeypatch.setattr(unit, "is_of_this_machine", lambda _: True)
    monkeypatch.setattr(unit, "is_up", lambda: False)
    monkeypatch.setattr(unit, "systemctl", lambda *_: None)
    return uid


def as_service(uid: int) -> contextlib.AbstractContextManager[None]:
    return acting(user_of(uid)) if os.geteuid() == 0 else contextlib.nullcontext()


def test_what_set_up_makes_the_service_comes_to_under_any_umask(
    place: Path, tmp_path: Path, bare: list[str], service: int
) -> None:
    config, state = place / "a" / "b" / "edge.toml", place / "x" / "y" / "state"
    options = [*QUICK, *WHO, *bare, "--unit-folder", str(tmp_path)]
    mask = os.umask(0o077)
    try:
        assert main(["setup", "--config", str(config), "--state-folder", str(state), *options]) == 0
    finally:
        os.umask(mask)
    with as_service(service):
        assert b"[device]" in config.read_bytes()
        assert [*state.iterdir()] == []
        (state / "spool").mkdir()
    assert state.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["configuration", "state folder"])
def test_a_folder_that_the_service_may_not_enter_is_named(place: Path, service: int, what: str) -> None:
    closed, is_config = place / "closed", what == "configuration"
    (closed / "in").mkdir(parents=True)
    there = closed / "in" / "not-made" / "last"
    closed.chmod(0o700 if os.geteuid() == 0 else 0o600)
    option = "--config" if is_config else "--state-folder"
    named = (
        f"the service's user {unit.USER} may not enter {closed}; open it (chmod a+x {closed}), or name another place "
        f"with {option}"
    )
    with pytest.raises(UnitError, match=re.escape(named)):
        unit.require_reachable(*((there, place) if is_config else (place / "edge.toml", there)))
    closed.chmod(0o711)
    unit.require_reachable(there, there)


def test_a_configuration_that_the_service_may_not_read_is_named(place: Path, service: int) -> None:
    config = place / "edge.toml"
    config.touch()
    config.chmod(0o600 if os.geteuid() == 0 else 0)
    with pytest.raises(UnitError, match=re.escape(f"may not read {config}; open it (chmod a+r {config})")):
        unit.require_reachable(config, place / "state")
    config.chmod(0o644)
    unit.require_reachable(config, place / "state")


def test_a_service_that_is_not_there_yet_is_nobody(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit, "USER", "pledgewatch-of-tests")
    asked: list[int] = []

    @contextlib.contextmanager
    def acting_as(user: User) -> Iterator[None]:
        asked.append(user.uid)
        yield

    monkeypatch.setattr(unit, "acting", acting_as)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    unit.require_reachable(place / "edge.toml", place / "state")
    assert asked == [65_534]


def test_what_the_service_cannot_come_to_is_said_before_anything_is_written(
    tmp_path: Path, bare: list[str], service: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[Path, Path]] = []

    def refused(*places: Path) -> None:
        asked.append((places[0], places[1]))
        raise UnitError("it may not enter that")

    monkeypatch.setattr(unit, "require_reachable", refused)
    state = tmp_path / "state"
    assert setup(tmp_path, *QUICK, *WHO, *bare, "--state-folder", str(state)) == 1
    assert capsys.readouterr().err == "it may not enter that\n"
    assert asked == [(tmp_path / "edge.toml", state)]
    assert not (tmp_path / "edge.toml").exists()
    assert not state.exists()


def test_what_another_program_writes_meanwhile_stays(
    tmp_path: Path, bare: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a claim in another session does, after set-up has read the file and before it has it for itself."""
    real = config_file.sole_edit

    @contextlib.contextmanager
    def edit(file: Path) -> Iterator[None]:
        file.write_text("[care]\nrollback_after_s = 900\n", encoding="utf-8")
        with real(file):
            yield

    monkeypatch.setattr(config_file, "sole_edit", edit)
    assert setup(tmp_path, *QUICK, *WHO, *bare, "--no-unit", "--state-folder", str(tmp_path / "state")) == 0
    found = tomllib.loads((tmp_path / "edge.toml").read_text(encoding="utf-8"))
    assert found["care"] == {"rollback_after_s": 900}
    assert found["device"]["name"] == DEVICE
