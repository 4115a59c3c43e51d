"""What root runs on the state folder of the service's user is done as that user. Root tries it with a real other user;
whoever else runs the tests is himself that user."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from boards import one_probe, setup
from edge_support import DEVICE, OPERATOR, new_spool, samples
from enrolling import CODE, Enrolling, enrolling

from pledgewatch_edge import ownership
from pledgewatch_edge.__main__ import main
from pledgewatch_edge.identity import KEY_FILE, LOCK_FILE, StateError, load_or_create_key, make_folder, sole_use
from pledgewatch_edge.ownership import as_owner_of
from pledgewatch_edge.spool.log import SEGMENT_READINGS
from pledgewatch_gateway.__main__ import main as gateway

IS_ROOT = os.geteuid() == 0
SERVICE = 65_534 if IS_ROOT else os.geteuid()
WHO = ["--operator", OPERATOR, "--device", DEVICE, "--broker", "127.0.0.1:1"]
IDS = (os.getresuid(), os.getresgid(), os.getgroups())


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the tests' Python lies others may not read; what it still needs is there by then."""
    "a".encode("idna")
    monkeypatch.setattr(ownership, "_PROGRAM", ())


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody comes to, which one of pytest's is not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    assert (os.getresuid(), os.getresgid(), os.getgroups()) == IDS
    shutil.rmtree(folder)


@pytest.fixture
def state(place: Path) -> Path:
    """A state folder as set-up gives it away."""
    folder = place / "state"
    folder.mkdir(mode=0o700)
    return given(folder)


def given(folder: Path) -> Path:
    for one in (folder, *folder.rglob("*")):
        os.chown(one, SERVICE, -1)
    return folder


@contextlib.contextmanager
def cloud_in(folder: Path) -> Iterator[Enrolling]:
    """A cloud, whose threads are ours and so become the other user with us."""
    with enrolling(folder / "cloud") as cloud:
        given(folder / "cloud")
        yield cloud


def owners(folder: Path) -> dict[str, int]:
    return {str(one.relative_to(folder)): one.lstat().st_uid for one in (folder, *folder.rglob("*"))}


def configured(place: Path, state: Path) -> list[str]:
    """The configuration of a board that measures itself."""
    (place / "edge.toml").write_text(
        f'[device]\noperator = "{OPERATOR}"\nname = "{DEVICE}"\nstate_folder = "{state}"\n'
        '[broker]\nhost = "127.0.0.1"\nport = 1\n[host]\n',
        encoding="utf-8",
    )
    return ["--config", str(place / "edge.toml")]


@pytest.mark.parametrize("is_first", [True, False], ids=["the first", "one that begins a segment"])
def test_a_self_test(place: Path, state: Path, capsys: pytest.CaptureFixture[str], *, is_first: bool) -> None:
    if not is_first:
        load_or_create_key(state)
        with new_spool(state) as spool:
            spool.append(samples(SEGMENT_READINGS))
        given(state)
    assert main(["self-test", *configured(place, state), "--seconds", "1"]) == 1
    assert "ok       spool" in capsys.readouterr().out
    found = owners(state)
    assert set(found.values()) == {SERVICE}, found
    assert len([one for one in found if one.endswith(".log")]) == (1 if is_first else 2)


def test_an_identity(place: Path, state: Path) -> None:
    assert main(["identity", *configured(place, state)]) == 0
    found = owners(state)
    assert {KEY_FILE, "epoch"} <= found.keys()
    assert set(found.values()) == {SERVICE}, found


def test_an_identity_of_each_zone_of_a_gateway(place: Path) -> None:
    file, zones = place / "gateway.toml", ("cold", "dry")
    for zone in zones:
        (place / zone).mkdir()
        given(place / zone)
    lines = [f'[[zones]]\nname = "{one}"\ndevice = "{one}"\nfolder = "{place / one}"\n' for one in zones]
    file.write_text(
        f'[gateway]\noperator = "{OPERATOR}"\nname = "site"\nstate_folder = "{place}"\n[broker]\nhost = "127.0.0.1"\n'
        + "".join(lines),
        encoding="utf-8",
    )
    assert gateway(["identity", "--config", str(file)]) == 0
    assert all(set(owners(place / zone).values()) == {SERVICE} for zone in zones)
    assert (place / "cold" / KEY_FILE).exists()


def test_a_claim_and_another_one(place: Path, state: Path) -> None:
    config = ["--config", str(place / "edge.toml"), "--state-folder", str(state)]
    with cloud_in(place) as cloud:
        assert main(["claim", cloud.invite(DEVICE), *config]) == 0
        assert main(["claim", cloud.invite(DEVICE, CODE[::-1]), *config, "--replace"]) == 0
    found = owners(state)
    assert {KEY_FILE, "tls.key", "tls.crt", "claimed.json"} <= found.keys()
    assert set(found.values()) == {SERVICE}, found
    assert (place / "edge.toml").stat().st_uid == os.geteuid(), "his it is not"


def test_a_claim_of_a_folder_that_is_to_be_made(place: Path, tmp_path: Path) -> None:
    given(place)
    config = ["--config", str(tmp_path / "edge.toml"), "--state-folder", str(place / "a" / "state")]
    mask = os.umask(0o077)
    try:
        with cloud_in(place) as cloud:
            assert main(["claim", cloud.invite(DEVICE), *config]) == 0
    finally:
        os.umask(mask)
    assert set(owners(place / "a").values()) == {SERVICE}
    assert (place / "a").stat().st_mode & 0o777 == 0o755, "others come through"
    assert (place / "a" / "state").stat().st_mode & 0o777 == 0o700


def test_a_set_up_without_a_service(place: Path, state: Path) -> None:
    options = ["--yes", "--watch", "0", "--seconds", "1", "--no-unit", "--state-folder", str(state)]
    assert setup(place, *options, *WHO, *one_probe(place)) == 1
    found = owners(state)
    assert {KEY_FILE, "spool"} <= found.keys()
    assert set(found.values()) == {SERVICE}, found


@pytest.mark.parametrize("has_keys_of", ["nobody yet", "the service", "root"])
def test_an_agent(place: Path, state: Path, monkeypatch: pytest.MonkeyPatch, *, has_keys_of: str) -> None:
    """One that root has run so far, on a folder of another, goes on as root: nobody else can open what it has made."""
    if has_keys_of != "nobody yet":
        load_or_create_key(state)
    if has_keys_of == "the service":
        given(state)
    ran: list[int] = []

    def run(*_: Any) -> bool:
        ran.append(os.geteuid())
        return True

    monkeypatch.setattr("pledgewatch_edge.process.run", run)
    assert main(["run", *configured(place, state)]) == 0
    assert ran == [os.geteuid() if has_keys_of == "root" else SERVICE]


def test_a_file_that_root_has_left_is_told_of(place: Path, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a self-test by root would have gone, and the service not."""
    load_or_create_key(state)
    if not IS_ROOT:
        (state / KEY_FILE).chmod(0)  # as far as he can tell, who is himself
    said = (
        f"{state / KEY_FILE}: Permission denied; give all that is in {state} to the user whose folder it is (chown -R)"
    )
    assert main(["identity", *configured(place, state)]) == 1
    assert said in capsys.readouterr().err
    assert main(["self-test", *configured(place, state), "--seconds", "1"]) == 1
    out = capsys.readouterr().out
    assert f"MISSING  spool               {said}" in out
    assert "-        sensor host         could not be tried" in out
    assert "-        clock               could not be tried" in out
    assert out.endswith(f"{DEVICE} of {OPERATOR} could not be tested: nothing was measured\n")


def test_no_link_of_his_leads_root_anywhere(place: Path, state: Path) -> None:
    with new_spool(state) as spool:
        spool.append(samples(10))
    given(state)
    other = (state / "tally").rename(place / "of-the-machine")
    os.chown(other, os.geteuid(), -1)
    other.chmod(0o644 if IS_ROOT else 0o444)
    before = other.read_bytes()
    (state / "tally").symlink_to(other)
    assert main(["self-test", *configured(place, state), "--seconds", "1"]) == 1
    assert other.read_bytes() == before


@pytest.mark.parametrize("target", ["there", "gone"])
def test_a_lock_that_is_a_link_is_not_followed(place: Path, target: str) -> None:
    """Also where root has no other user to be."""
    (place / "there").touch()
    (place / "there").chmod(0o755)
    (place / LOCK_FILE).symlink_to(place / target)
    with pytest.raises(StateError, match=r"agent.lock is a link, and no agent makes one; remove it"), sole_use(place):
        pass
    assert (place / "there").stat().st_mode & 0o777 == 0o755
    assert not (place / "gone").exists()


def test_a_lock_that_has_another_name_keeps_its_mode(place: Path) -> None:
    (place / "there").touch()
    (place / "there").chmod(0o755)
    (place / LOCK_FILE).hardlink_to(place / "there")
    with sole_use(place), pytest.raises(StateError, match="another agent is using this folder"), sole_use(place):
        pass
    assert (place / "there").stat().st_mode & 0o777 == 0o755


def test_he_is_in_the_groups_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pwd.getpwuid", lambda _: SimpleNamespace(pw_name="service", pw_gid=700))
    monkeypatch.setattr("os.getgrouplist", lambda *_: [700, 1_000])
    known = {"dialout": 20, "gpio": 997}
    monkeypatch.setattr("grp.getgrnam", lambda name: SimpleNamespace(gr_gid=known[name]))
    assert ownership.user_of(700) == ownership.User(700, 700, (20, 700, 997, 1_000))


def test_who_may_not_become_another_stays_root(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container without the right to."""

    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("os.setgroups", refused)
    with as_owner_of([state]):
        assert os.geteuid() == IDS[0][1]


def test_a_program_that_he_cannot_read_is_named(
    place: Path, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "program.py"
    file.touch(mode=0)
    monkeypatch.setattr(ownership, "_PROGRAM", (file,))
    monkeypatch.setattr(ownership, "owner_of", lambda _: ownership.user_of(SERVICE, SERVICE))
    acting = ownership.acting if IS_ROOT else lambda _: as_owner_of([])
    monkeypatch.setattr(ownership, "acting", acting)
    for words in ("identity", "self-test"):
        assert main([words, *configured(place, state)]) == 1
        assert f"cannot read {file}, which is of this program; let others read it" in capsys.readouterr().err
    assert owners(state).keys() == {"."}


@pytest.mark.parametrize("what", ["state", "configuration", "file"])
def test_what_he_may_not_come_to_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """As the service could not either."""
    closed, state = place / "closed", place / ("closed" if what == "state" else "open") / "x" / "state"
    make_folder(state)
    given(state)
    closed.mkdir(exist_ok=True)
    configured(place if what == "state" else closed, state)
    config = (place if what == "state" else closed) / "edge.toml"
    monkeypatch.setattr(ownership, "owner_of", lambda _: ownership.user_of(SERVICE, SERVICE))

    @contextlib.contextmanager
    def acting(user: ownership.User) -> Iterator[None]:
        of_it, mode = (config, 0o600) if what == "file" else (closed, 0o700)
        of_it.chmod(mode if IS_ROOT else 0o200)
        with real(user) if IS_ROOT else contextlib.nullcontext():
            yield
        of_it.chmod(0o755)

    real = ownership.acting
    monkeypatch.setattr(ownership, "acting", acting)
    assert main(["self-test", "--config", str(config)]) == 1
    cure = (
        f"read {config}; open it (chmod a+r {config})"
        if what == "file"
        else f"enter {closed}; open it (chmod a+x {closed})"
    )
    assert capsys.readouterr().err.endswith(f"whose {state} is, may not {cure}\n")


@pytest.mark.parametrize("is_behind", [False, True], ids=["the folder", "one above it"])
@pytest.mark.parametrize("is_claimed", [False, True], ids=["named by hand", "claimed"])
def test_who_forgets_sudo_is_told_so(
    place: Path, capsys: pytest.CaptureFixture[str], *, is_claimed: bool, is_behind: bool
) -> None:
    state = place / "above" / "state"
    config = configured(place, state)
    if is_claimed:
        with enrolling(place / "cloud") as cloud:
            assert main(["claim", cloud.invite(DEVICE), *config, "--replace"]) == 0
    with new_spool(state) as spool:
        spool.append(samples(10))
    closed = state.parent if is_behind else state
    closed.chmod(0o700 if IS_ROOT else 0)
    capsys.readouterr()
    with ownership.acting(ownership.user_of(SERVICE, SERVICE)) if IS_ROOT else contextlib.nullcontext():
        found = {
            words: (main([*words.split(), *config]), capsys.readouterr())
            for words in ("status", "status --json", "run --check", "identity", "run")
        }
    closed.chmod(0o700)
    cure = "run this as the user whose folder it is, or as root (sudo)" if IS_ROOT or is_behind else "chown -R"
    for words, (code, said) in found.items():
        assert code == (2 if words == "run --check" or (words == "run" and is_claimed) else 1), words
        assert not said.out
        assert "Permission denied" in said.err or "that can be read" in said.err
        assert cure in said.err, words
    for words in ("status", "status --json", "identity"):
        assert len(found[words][1].err.splitlines()) == 1


def test_a_user_is_told_of_what_is_wrong_with_files_of_root(
    place: Path, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a claim by root left, as long as it went on as root."""
    config = configured(place, state)
    with cloud_in(place) as cloud:
        assert main(["claim", cloud.invite(DEVICE), *config, "--replace"]) == 0
    os.chown(state / "tls.key", os.geteuid(), -1)
    (state / "tls.key").chmod(0o600 if IS_ROOT else 0)
    assert main(["run", "--check", *config]) == 2
    cure = f"give all that is in {state} to the user whose folder it is (chown -R)"
    assert f"{DEVICE} has no key or no certificate in {state} that can be read; {cure}" in capsys.readouterr().err
    assert main(["status", *config]) == 0
    assert "tls.key: Permission denied" in capsys.readouterr().out
