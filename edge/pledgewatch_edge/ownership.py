"""Being the user whose a state folder is, where root runs the agent's program on it.

The service has a user of its own (install/unit.py), and beside it a technician runs the same program with sudo: a
claim, a self-test. What root made in that folder the service could not open, and would end at each start from then on.
What root opens there, the service's user may have made, a link too, and it would lead root wherever it leads. So for as
long as something is done there root is that user, as far as files, devices and processes that are begun go; only the
saved user stays root's, to come back by.

He is in the groups that the service has, too (`DEVICE_GROUPS`), and in no other that a drop-in of the service names.
"""

import contextlib
import grp
import os
import pwd
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pledgewatch_edge.identity import KEY_FILE, StateError

DEVICE_GROUPS: Final = ("dialout", "i2c", "gpio")
_PROGRAM: Final = (Path(os.__file__), Path(__file__))  # what must be read to go on: Python's own modules, and ours


class User(NamedTuple):
    """A user, by numbers."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    @property
    def name(self) -> str:
        """How he is called, by his number where he has no name."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)


def user_of(uid: int, gid: int = -1) -> User:
    """A user with his groups, and with those that own a board's devices. `gid` is his group where he has no name."""
    try:
        known = pwd.getpwuid(uid)
    except KeyError:
        groups = {gid}
    else:
        gid, groups = known.pw_gid, set(os.getgrouplist(known.pw_name, known.pw_gid))
    for name in DEVICE_GROUPS:
        with contextlib.suppress(KeyError):
            groups.add(grp.getgrnam(name).gr_gid)
    return User(uid, gid, tuple(sorted(groups)))


def owner_of(folder: Path) -> User | None:
    """Whose a folder is, or the nearest above it where it is not made yet, as far as we are root; None where it is
    root's."""
    if os.geteuid() != 0:
        return None
    for one in (folder.absolute(), *folder.absolute().parents):
        try:
            there = one.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None  # said by whoever opens it
        return user_of(there.st_uid, there.st_gid) if there.st_uid and stat.S_ISDIR(there.st_mode) else None
    return None


@contextlib.contextmanager
def as_owner_of(folders: Iterable[Path], reads: Iterable[Path] = (), *, goes_on: bool = False) -> Iterator[None]:
    """Be the user whose all of these state folders are, where we are root and they are not. Raises StateError where
    that user cannot come to them, or cannot read this program, or the files that he `reads`.

    With `goes_on` root stays root then, and also where the keys are root's: as an agent that was run so as far.
    """
    folders, reads = tuple(folders), tuple(reads)
    owners = {None if goes_on and _has_keys_of_root(one) else owner_of(one) for one in folders}
    owner = owners.pop() if len(owners) == 1 else None
    if owner is not None:
        with acting(owner):
            fault = _fault(owner, folders, reads)
        if fault and not goes_on:
            raise StateError(fault)
        owner = None if fault else owner
    with contextlib.nullcontext() if owner is None else acting(owner):
        yield


def _fault(owner: User, folders: Sequence[Path], reads: Iterable[Path]) -> str:
    """Why it cannot be done as the owner, who we are; empty where it can."""
    who = f"the user {owner.name}, whose {folders[0]} is,"
    for one in (*folders, *reads):
        if (closed := closed_above(one)) is not None:
            return f"{who} may not enter {closed}; open it (chmod a+x {closed})"
    for one in reads:
        if not os.access(one, os.R_OK):
            return f"{who} may not read {one}; open it (chmod a+r {one})"
    for one in _PROGRAM:
        if not os.access(one, os.R_OK):
            let = f"let others read it: chmod -R a+rX {sys.prefix}"
            return f"{who} cannot read {one}, which is of this program; {let}"
    return ""


def closed_above(path: Path) -> Path | None:
    """The first folder above a path that we may not enter; None where there is none, as far as they are made."""
    for one in reversed(path.absolute().parents):
        if os.access(one, os.F_OK) and not os.access(one, os.X_OK):
            return one
    return None


@contextlib.contextmanager
def acting(user: User) -> Iterator[None]:
    """Be that user, all threads of us. Where root may not become him (a container without the right to), it stays."""
    groups, gids, uids = os.getgroups(), os.getresgid(), os.getresuid()
    try:
        with contextlib.suppress(OSError):
            os.setgroups(user.groups)
            os.setresgid(user.gid, user.gid, 0)
            os.setresuid(user.uid, user.uid, 0)
        yield
    finally:
        os.seteuid(0)
        os.setresuid(*uids)
        os.setresgid(*gids)
        with contextlib.suppress(OSError):  # who may not change his groups has them still
            os.setgroups(groups)


def _has_keys_of_root(folder: Path) -> bool:
    try:
        return (folder / KEY_FILE).lstat().st_uid == 0
    except OSError:
        return False
