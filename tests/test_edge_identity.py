"""Key, epoch counter, tally and lock: nothing is given twice, nothing is half there."""

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pledgewatch_edge.identity import (
    StateError,
    Tally,
    Totals,
    load_or_create_key,
    public_key_hex,
    raise_epoch,
    read_epoch,
    read_totals,
    sole_use,
)
from pledgewatch_wire import chain
from pledgewatch_wire.codec import MAX_EPOCH


def test_the_key_is_made_once_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "state"
    first = public_key_hex(load_or_create_key(folder))
    assert first == public_key_hex(load_or_create_key(folder))
    assert (folder / "device.key").stat().st_mode & 0o777 == 0o600
    assert {path.name for path in folder.iterdir()} == {"device.key", "epoch"}
    signature = chain.sign(load_or_create_key(folder), "cont-1", 1, 2, b"\0" * 32)
    assert chain.verifies(chain.public_key(first), "cont-1", 1, 2, b"\0" * 32, signature)


def test_half_a_key_from_a_crash_is_not_the_key(tmp_path: Path) -> None:
    (tmp_path / "device.key.new").write_text("half", encoding="ascii")
    load_or_create_key(tmp_path)
    assert not (tmp_path / "device.key.new").exists()


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path)
    (tmp_path / "device.key").chmod(0o640)
    with pytest.raises(StateError, match="chmod 600"):
        load_or_create_key(tmp_path)


@pytest.mark.parametrize("kind", ["garbage", "another algorithm"])
def test_a_file_that_is_no_key(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "device.key"
    other = X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(b"garbage" if kind == "garbage" else other)
    path.chmod(0o600)
    with pytest.raises(StateError, match=r"device\.key: is no"):
        load_or_create_key(tmp_path)


def test_the_epoch_only_rises(tmp_path: Path) -> None:
    load_or_create_key(tmp_path)
    assert read_epoch(tmp_path) == 0
    assert [raise_epoch(tmp_path, known) for known in (0, 0, 7, 3)] == [1, 2, 8, 9]
    assert read_epoch(tmp_path) == 9


@pytest.mark.parametrize("content", [None, b"", b"many", b"-1", b"99999999999"])
def test_a_lost_counter_is_not_begun_again(tmp_path: Path, content: bytes | None) -> None:
    load_or_create_key(tmp_path)
    if content is None:
        (tmp_path / "epoch").unlink()
    else:
        (tmp_path / "epoch").write_bytes(content)
    load_or_create_key(tmp_path)
    assert read_epoch(tmp_path) is None
    with pytest.raises(StateError, match="epoch counter is lost"):
        raise_epoch(tmp_path, 0)
    assert raise_epoch(tmp_path, 4) == 5  # something else in the folder remembered


def test_the_tally_keeps_the_newest(tmp_path: Path) -> None:
    assert read_totals(tmp_path) == Totals()
    with Tally(tmp_path) as tally:
        for head in range(1, 6):
            tally.write(Totals(1, 10, head, 2))
        assert read_totals(tmp_path) == Totals(1, 10, 5, 2)
    with Tally(tmp_path) as tally:
        assert tally.totals.measured == 15
        tally.write(Totals(2, 15, 1, 2))
    assert read_totals(tmp_path) == Totals(2, 15, 1, 2)


def test_a_torn_slot_leaves_the_one_before(tmp_path: Path) -> None:
    with Tally(tmp_path) as tally:
        tally.write(Totals(1, 0, 1, 0))
        tally.write(Totals(1, 0, 2, 0))
    data = bytearray((tmp_path / "tally").read_bytes())
    data[4096 + 8] ^= 1  # in the second slot, the newer
    (tmp_path / "tally").write_bytes(data)
    assert read_totals(tmp_path) == Totals(1, 0, 1, 0)
    (tmp_path / "tally").write_bytes(b"\xff" * 10)
    assert read_totals(tmp_path) == Totals()


def test_one_agent_for_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agent.lock").touch(0o666)
    (tmp_path / "agent.lock").chmod(0o666)  # as it was made before
    with sole_use(tmp_path):
        assert stat.S_IMODE((tmp_path / "agent.lock").stat().st_mode) == 0o600
    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", None)  # nothing is written to the card that is so already
        with sole_use(tmp_path):
            pass
    (tmp_path / "agent.lock").unlink()
    before = os.umask(0)
    try:
        with sole_use(tmp_path):
            assert stat.S_IMODE((tmp_path / "agent.lock").stat().st_mode) == 0o600
    finally:
        os.umask(before)
    with sole_use(tmp_path), pytest.raises(StateError, match="another agent"), sole_use(tmp_path):
        pass
    with sole_use(tmp_path):
        pass


def test_a_lock_that_is_another_user_s_says_whose_folder_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, *_: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pledgewatch_edge.identity.os.open", refused)
    with pytest.raises(StateError, match=r"agent\.lock: Permission denied; run this as the user"), sole_use(tmp_path):
        pass


def test_a_counter_that_has_come_to_its_end_is_said_and_not_passed(tmp_path: Path) -> None:
    """The cloud takes no epoch beyond; a device that went on would fill its spool without a word."""
    (tmp_path / "epoch").write_text(f"{MAX_EPOCH - 1}\n", encoding="ascii")
    assert raise_epoch(tmp_path, 0) == MAX_EPOCH
    with pytest.raises(StateError, match="register it anew"):
        raise_epoch(tmp_path, 0)
