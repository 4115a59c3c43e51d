"""Who the device is, and why no identity of a reading is ever given twice.

A reading is (device, epoch, sequence). Sequences count within the spool, so they are as safe as the spool's file; when
that file is lost or broken they would begin again at 1. The epoch makes the difference: it is one life of the spool,
and its counter is raised and on disk before the new spool gives its first number.

The state folder holds, besides the spool:

- `device.key`: the Ed25519 private key that signs the chain; made here, never sent anywhere.
- `epoch`: the counter, replaced by rename. It is there before the key is, so a key without a counter means that
  somebody has taken the counter away; then only a spool or a tally can say how far it was, and where they cannot, a
  person must.
- `tally`: how many readings were measured over all epochs, how many were refused, dropped or broken, and the newest
  number.
  The spool knows its own numbers; the tally knows them after the spool is lost, and notices a spool that went back in
  time (a restored copy, a journal file deleted), which would give numbers a second time.
- `agent.lock`: held by the one agent that may use the folder.

What lets the device into the broker is beside them (tls_identity.py).
"""

import contextlib
import errno
import fcntl
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from pledgewatch_edge.spool.errors import UNREADABLE, cure_of_refusal, tried
from pledgewatch_wire.codec import MAX_EPOCH

KEY_FILE: Final = "device.key"
EPOCH_FILE: Final = "epoch"
TALLY_FILE: Final = "tally"
LOCK_FILE: Final = "agent.lock"
_SLOT: Final = struct.Struct(">QQQQQQQQQQ")
_SUM: Final = struct.Struct(">I")
_SLOT_BYTES: Final = _SLOT.size + _SUM.size
_SLOT_STRIDE: Final = 4_096  # each slot in a block of its own, so that one torn write cannot spoil both


class StateError(RuntimeError):
    """A state folder that cannot be used as it is; the text names the file and the cure."""


def load_or_create_key(folder: Path) -> Ed25519PrivateKey:
    """The device's key, made on the first call together with the folder and the epoch counter.

    Raises StateError where the key cannot be read, is no Ed25519 key, or is open to other users.
    """
    try:
        make_state_folder(folder)
        path = folder / KEY_FILE
        if not path.exists():
            if not (folder / EPOCH_FILE).exists():
                replace_file(folder / EPOCH_FILE, b"0\n")
            _create_key(path)
        return _load_key(path)
    except OSError as error:
        raise StateError(f"{error.filename}: {error.strerror}; {_cure_of(error, folder)}") from None


def _cure_of(error: OSError, folder: Path) -> str:
    is_hidden = error.filename == str(folder / KEY_FILE) or not os.access(folder.parent, os.X_OK)
    if isinstance(error, PermissionError) and is_hidden:
        return cure_of_refusal(folder)
    return "give the agent a folder it may write"


def make_state_folder(folder: Path) -> None:
    """Make a state folder, where it is not there. Raises OSError."""
    make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are not there, so that others come through, whatever the umask.
    Raises OSError."""
    for one in reversed([folder, *folder.parents]):
        if one.exists():
            continue
        with contextlib.suppress(FileExistsError):  # another has just made it, who knows for whom
            one.mkdir()
            descriptor = os.open(one, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fchmod(descriptor, 0o755)
            finally:
                os.close(descriptor)


def look_at_key(folder: Path) -> bool:
    """Whether the device's key is there; nothing is made. Raises StateError where it cannot be used."""
    try:
        _load_key(folder / KEY_FILE)
    except FileNotFoundError:
        return False
    except OSError as error:
        text = f"{error.filename} cannot be read: {error.strerror}; {cure_of_refusal(folder)}"
        raise StateError(text) from None
    return True


def public_key_hex(key: Ed25519PrivateKey) -> str:
    """The public half, 64 hexadecimal digits."""
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()


def read_epoch(folder: Path) -> int | None:
    """The counter; 0 before the first spool, None where it is missing or no number."""
    try:
        text = (folder / EPOCH_FILE).read_text(encoding="ascii")
        epoch = int(text)
    except (FileNotFoundError, ValueError):
        return None
    return epoch if 0 <= epoch <= MAX_EPOCH else None


def raise_epoch(folder: Path, known: int) -> int:
    """Raise the counter as `next_epoch` says, put it on disk, and return it."""
    epoch = next_epoch(folder, known)
    keep_epoch(folder, epoch)
    return epoch


def next_epoch(folder: Path, known: int) -> int:
    """What is above the counter and above `known`; nothing is written yet.

    `known` is the highest epoch that anything else in the folder remembers, 0 for none. Raises StateError where the
    counter is gone and nothing remembers, or where it has come to its end.
    """
    counter = read_epoch(folder)
    if counter is None and known == 0:
        path = folder / EPOCH_FILE
        raise StateError(
            f"{path}: the epoch counter is lost, so numbers might be given twice; "
            "write into it the highest epoch that the cloud has seen of this device"
        )
    epoch = max(counter or 0, known) + 1
    if epoch > MAX_EPOCH:
        raise StateError(
            f"{folder}: this device has begun {MAX_EPOCH} epochs, more than the cloud takes; find out why "
            "its spool breaks, and register it anew under another name with an empty state_folder"
        )
    return epoch


def keep_epoch(folder: Path, epoch: int) -> None:
    """Put the counter on disk. Raises OSError."""
    replace_file(folder / EPOCH_FILE, f"{epoch}\n".encode("ascii"))


def begin_above(folder: Path, known: int, spool_epoch: int) -> None:
    """Let no epoch of this folder be one that the cloud has seen, the highest of which is `known`. `spool_epoch` is
    that of the spool that is there, 0 for none. May be done again.

    A spool whose epoch the cloud has seen may be a copy from an older card, and to go on with it would give numbers
    twice; with the counter above it, it is moved aside when it is opened next, and its readings go into a new one.
    """
    counter = read_epoch(folder) or 0
    wanted = known + 1 if 0 < spool_epoch <= known else known
    if counter < wanted or read_epoch(folder) is None:
        replace_file(folder / EPOCH_FILE, f"{max(counter, wanted, spool_epoch)}\n".encode("ascii"))


@contextlib.contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which no other user may open and so hold. Raises StateError while another agent holds
    it, or where it cannot be opened. No link is followed, nor is anything changed of a file that has another name too:
    where we are root, the folder's user would have us change any file."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StateError(f"{folder / LOCK_FILE} is a link, and no agent makes one; remove it") from None
        text = (
            f"{folder / LOCK_FILE}: {error.strerror}; run this as the user whose folder it is, or give it to that user"
        )
        raise StateError(text) from None
    with os.fdopen(descriptor, "r+b") as file:
        with contextlib.suppress(PermissionError):  # it is another user's, who has let us
            found = os.fstat(descriptor)
            is_own = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
            if is_own and stat.S_IMODE(found.st_mode) != 0o600:  # else each start would write to the card
                os.fchmod(descriptor, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StateError(f"{folder}: another agent is using this folder; stop it first") from None
        yield


class Totals(NamedTuple):
    """Counts of readings: the epoch, those of all epochs before it, the newest number in it, and ever: those refused,
    those dropped for want of room, of how many that were refused a reading tells, those that were numbered and were not
    to be found in a broken spool, and of how many of these a reading tells.

    `doubtful`: how many were given up when the agent ended and may stand in the file beyond the newest number all the
    same, for the disk did not undo what it had refused. They are refused but for those that the next start finds.
    `ended_told`: the newest epoch of those that are over of which a reading tells.
    """

    epoch: int = 0
    measured_before: int = 0
    head_sequence: int = 0
    refused: int = 0
    thinned: int = 0
    refused_told: int = 0
    broken: int = 0
    broken_told: int = 0
    doubtful: int = 0
    ended_told: int = 0

    @property
    def measured(self) -> int:
        """Readings measured over all epochs."""
        return self.measured_before + self.head_sequence

    def begun_anew(self, epoch: int) -> "Totals":
        """The same for a life that begins, and has told nothing yet."""
        fresh = self._replace(epoch=epoch, measured_before=0, head_sequence=0)
        return fresh._replace(refused_told=0, broken_told=0, ended_told=0)

    def unsure(self, epoch: int) -> "Totals":
        """What of these may be said where a newer slot may have said more: nothing of what only counts on. `epoch` is
        that of the spool, for where none is told."""
        return Totals(self.epoch or epoch, self.measured_before)

    def settled(self, found: int) -> "Totals":
        """The same, when so many were found beyond the newest number."""
        return self._replace(refused=self.refused + max(0, self.doubtful - found), doubtful=0)


class Tally:
    """The tally file: two slots written in turn, each with a checksum, so that one is always whole.

    `write` does not wait for the disk: what it holds is in the spool as well, and survives the end of the process.
    Only a power cut that also costs the spool can make it lag, by what the kernel had not written yet.
    """

    def __init__(self, folder: Path) -> None:
        """Open or make the file. One that the disk cannot read tells what the other slot does, or nothing, and is not
        `is_readable`: the counts may have gone further. Raises OSError."""
        self._descriptor, self._turn = -1, 0
        self.totals, self.is_readable = Totals(), False
        try:
            self._descriptor = tried(lambda: os.open(folder / TALLY_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            return
        self.totals, self.is_readable = _read_slots(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, totals: Totals) -> None:
        """Note the totals. Raises OSError where the file cannot be written."""
        plain = _SLOT.pack(*totals)
        os.pwrite(self._descriptor, plain + _SUM.pack(zlib.crc32(plain)), self._turn * _SLOT_STRIDE)
        self._turn = 1 - self._turn
        self.totals = totals

    def flush(self) -> None:
        """Wait until the disk has it."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Give the file back. May be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def read_totals(folder: Path) -> Totals:
    """The totals on disk, read only, as far as the disk can read them; all 0 where there are none. Raises OSError."""
    try:
        descriptor = tried(lambda: os.open(folder / TALLY_FILE, os.O_RDONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        return Totals()
    except OSError as error:
        if error.errno not in UNREADABLE:
            raise
        return Totals()
    try:
        return _read_slots(descriptor)[0]
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Make names that were created, renamed or removed in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_slots(descriptor: int) -> tuple[Totals, bool]:
    """The newer of the slots that are whole, and whether the disk could read both."""
    found, is_readable = [Totals()], True
    for slot in range(2):
        try:
            data = tried(partial(os.pread, descriptor, _SLOT_BYTES, slot * _SLOT_STRIDE))
        except OSError as error:
            if error.errno not in UNREADABLE:
                raise
            is_readable = False
            continue
        plain = data[: _SLOT.size]
        if len(data) == _SLOT_BYTES and _SUM.unpack(data[_SLOT.size :])[0] == zlib.crc32(plain):
            found.append(Totals(*_SLOT.unpack(plain)))
    return max(found), is_readable


def replace_file(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Put `content` in the place of a file so that a power cut leaves the old or the new, whole. Raises OSError, with a
    name."""
    fresh = path.with_name(path.name + ".part")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    _fill(descriptor, content, fresh)
    fresh.replace(path)
    flush_folder(path.parent)


def _fill(descriptor: int, content: bytes, path: Path) -> None:
    """Write a new file, and wait until the disk has it. Raises OSError, with the file's name: of a disk that is full
    the operating system tells none."""
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _create_key(path: Path) -> None:
    """Write a new key under a name of its own, then link it: nobody ever sees half a key, or replaces one."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    text = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    _fill(descriptor, text, fresh)
    with contextlib.suppress(FileExistsError):  # another process was first; its key is the device's
        path.hardlink_to(fresh)
    fresh.unlink()
    flush_folder(path.parent)


def _load_key(path: Path) -> Ed25519PrivateKey:
    if path.stat().st_mode & 0o077:
        raise StateError(f"{path}: other users may read the device's key; run chmod 600 on it")
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        raise StateError(f"{path}: is no private key in PEM; restore it, or remove it and register anew") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise StateError(f"{path}: is no Ed25519 key; restore it, or remove it and register anew")
    return key
