"""The service: a systemd unit that starts the agent, watches it, and lets it have only what it needs.

The text is made for the board: groups that it has, the program where it is, the state folder that its configuration
names. A key that another place must change (a proxy, a slower watchdog) goes into a drop-in by `systemctl edit`, which
outlives this text.

What is hardened, and what cannot be:

- Only the state folder can be written (ProtectSystem=strict), so a root that is read-only is one already.
- Of the devices only serial lines, I²C and GPIO are there. PrivateDevices would take them away.
- ProtectClock is left out: it forbids adjtimex, by which the agent asks the kernel whether a time service keeps the
  clock, even where nothing is changed (clock.py). The agent has no right to set the clock all the same.
- PrivateUsers is left out: groups of the board (dialout, i2c, gpio) would be nobody's within.
"""

import contextlib
import grp
import os
import pwd
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NoReturn

from pledgewatch_edge.identity import KEY_FILE, replace_file
from pledgewatch_edge.install import cures
from pledgewatch_edge.install.options import SYSTEM_FOLDER
from pledgewatch_edge.ownership import DEVICE_GROUPS, acting, closed_above, user_of
from pledgewatch_edge.spool.log import segments_in
from pledgewatch_edge.spool.places import spool_of

NAME: Final = "pledgewatch-edge.service"
USER: Final = "pledgewatch"
STATE_ROOT: Final = Path("/var/lib")
WATCHDOG_S: Final = 120
MEMORY_MAX: Final = "160M"
_RUNNING: Final = Path("/run/systemd/system")
_NOBODY: Final = 65_534
_DOWN: Final = frozenset({"", "inactive", "failed", "unknown"})


class UnitError(Exception):
    """The service cannot be installed; the text says why, and what to do."""


def unit_text(program: Sequence[str], config: Path, state_folder: Path, groups: Sequence[str]) -> str:
    """The unit of an agent. `program` is how it is started, up to its command."""
    return _TEXT.format(
        command=" ".join(_quoted(word.replace("$", "$$")) for word in (*program, "run", "--config", str(config))),
        user=USER,
        groups=f"SupplementaryGroups={' '.join(groups)}\n" if groups else "",
        state=_state(state_folder),
        mounts=_quoted(str(state_folder)),
        home="read-only" if _is_at_home(Path(program[0])) else "true",
        watchdog_s=WATCHDOG_S,
        memory_max=MEMORY_MAX,
    )


def _state(folder: Path) -> str:
    """How systemd gives the state folder. It makes one in /var/lib itself; another is there already."""
    if folder.parent == STATE_ROOT:
        return f"StateDirectory={folder.name}\nStateDirectoryMode=0700"
    return f"ReadWritePaths={_quoted(str(folder))}"


def _is_at_home(program: Path) -> bool:
    """Whether the program is where ProtectHome=true would hide it."""
    return any(program.is_relative_to(one) for one in map(Path, _HOMES))


def _quoted(word: str) -> str:
    """A word of a unit: a specifier is none, blanks stay."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{word}"' if not word or any(one.isspace() or one in "\"'\\;" for one in word) else word


def groups_here() -> list[str]:
    """The groups that the board has of those that own its devices. One that it does not have would keep the service
    from its start."""
    names = {one.gr_name for one in grp.getgrall()}
    return [one for one in DEVICE_GROUPS if one in names]


def install(folder: Path, text: str, *, replace: bool) -> bool:
    """Put the unit into a folder; whether it was changed. Raises UnitError where another is there and is not to be
    replaced, or where it may not be written."""
    path = folder / NAME
    try:
        there = path.read_text(encoding="utf-8") if path.exists() else None
        if there == text:
            return False
        if there is not None and not replace:
            raise UnitError(f"{path} says something else; run the same with --replace, or keep it with --no-unit")
        replace_file(path, text.encode("utf-8"))
    except OSError as error:
        raise _not_written(path, error) from None
    return True


def require_place(folder: Path) -> None:
    """Raise UnitError where a unit that is not there yet cannot be put into a folder. Nothing is written."""
    path = folder / NAME
    try:
        if not path.exists():
            folder.stat()
            cures.require_place(folder)
    except OSError as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> UnitError:
    return UnitError(
        f"{path} cannot be written: {cures.in_words(error)}, or run it with another --unit-folder or --no-unit"
    )


def is_of_this_machine(folder: Path) -> bool:
    """Whether a unit in that folder is one that systemd here would start."""
    return folder == SYSTEM_FOLDER and _RUNNING.is_dir() and os.geteuid() == 0


def make_user() -> None:
    """The user of the service, where there is none. Raises UnitError."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        _run([*command, "--shell", "/usr/sbin/nologin", USER])


def require_own(folder: Path) -> None:
    """Raise UnitError for a folder that is there and is not the agent's: what is in it would be given away."""
    try:
        with _opened(folder) as descriptor:
            _require_own(folder, descriptor)
    except FileNotFoundError:  # it is made
        pass
    except OSError as error:
        raise UnitError(f"{error.filename or folder}: {error.strerror}") from None


def require_reachable(config: Path, state_folder: Path) -> None:
    """Raise UnitError where the user of the service could not open the configuration, or come to the state folder, as
    far as there is of either by now."""
    try:
        known = pwd.getpwnam(USER)
    except KeyError:  # he is made later, and is in no group of others
        user = user_of(_NOBODY, _NOBODY)
    else:
        user = user_of(known.pw_uid)
    with acting(user) if os.geteuid() == 0 else contextlib.nullcontext():
        for place, option in ((config, "--config"), (state_folder, "--state-folder")):
            if (closed := closed_above(place)) is not None:
                raise UnitError(
                    f"the service's user {USER} may not enter {closed}; open it (chmod a+x {closed}), or name another "
                    f"place with {option}"
                )
        if os.access(config, os.F_OK) and not os.access(config, os.R_OK):
            raise UnitError(f"the service's user {USER} may not read {config}; open it (chmod a+r {config})")


def give_away(folder: Path) -> None:
    """Give the state folder and all that is in it to the user of the service. No link is followed, for what lies in
    there is that user's to make since the first set-up, and what is outside is not. Raises UnitError."""
    try:
        user, group = pwd.getpwnam(USER).pw_uid, grp.getgrnam(USER).gr_gid
        with _opened(folder) as top:
            _require_own(folder, top)
            os.chown(top, user, group)
            for _, folders, files, descriptor in os.fwalk(".", dir_fd=top, onerror=_raised):
                for name in (*folders, *files):
                    os.chown(name, user, group, dir_fd=descriptor, follow_symlinks=False)
    except KeyError as error:
        raise UnitError(f"the service's user and group cannot both be found: {error.args[0]}") from None
    except OSError as error:
        raise UnitError(f"{error.filename or folder}: {error.strerror}") from None


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        raise UnitError(f"{folder} is a link or no folder; name the folder itself with --state-folder") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _require_own(folder: Path, descriptor: int) -> None:
    there = os.listdir(descriptor)
    if there and KEY_FILE not in there and not segments_in(spool_of(folder)):
        raise UnitError(
            f"{folder} has neither keys nor readings of an agent, but {sorted(there)[0]}, and all in it would be given "
            f"to the user {USER}; name a folder that is empty or is not there yet with --state-folder"
        )


def _raised(error: OSError) -> NoReturn:
    raise error


def is_up() -> bool:
    """Whether the service runs, or begins or ends, or waits to be begun again: systemd would have it run."""
    return _done(["systemctl", "is-active", NAME]).stdout.strip() not in _DOWN


def systemctl(*words: str) -> None:
    """Ask systemd for something. Raises UnitError where it does not do it."""
    _run(["systemctl", *words])


def _done(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - words of our own
    except OSError as error:
        raise UnitError(f"{command[0]} cannot be run: {error.strerror}") from None


def _run(command: Sequence[str]) -> None:
    done = _done(command)
    if done.returncode:
        raise UnitError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")


_HOMES: Final = ("/" + "home", "/" + "root", "/run/user")
_TEXT: Final = """\
# Made by `pledgewatch-edge setup`. To change a key: systemctl edit pledgewatch-edge
[Unit]
Description=pledgewatch edge agent
Documentation=man:systemd.exec(5)
RequiresMountsFor={mounts}
After=network.target time-sync.target gpsd.service
# However often it ends, it is begun again: nobody comes by for a year.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
Restart=always
RestartSec=10
WatchdogSec={watchdog_s}
# All of a spool is read before it is open, and for a new epoch written anew, which takes an old board and a slow card a
# while; what is ended before that is whole begins it again.
TimeoutStartSec=3600
TimeoutStopSec=30

User={user}
Group={user}
{groups}{state}
UMask=0077
WorkingDirectory=/
Environment=PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# It needs 50 MB; a leak must not take a board of 512 MB with it.
MemoryMax={memory_max}
MemorySwapMax=0
TasksMax=64
Nice=-5

ProtectSystem=strict
ProtectHome={home}
PrivateTmp=true
DevicePolicy=closed
DeviceAllow=char-ttyUSB rw
DeviceAllow=char-ttyACM rw
DeviceAllow=char-ttyAMA rw
DeviceAllow=char-ttyS rw
DeviceAllow=char-i2c rw
DeviceAllow=char-gpiochip rw

NoNewPrivileges=true
CapabilityBoundingSet=
AmbientCapabilities=
RestrictSUIDSGID=true
LockPersonality=true
MemoryDenyWriteExecute=true
RemoveIPC=true
KeyringMode=private
ProtectProc=invisible
ProtectKernelTunables=true
ProtectKernelModules=true
ProtectKernelLogs=true
ProtectControlGroups=true
ProtectHostname=true
RestrictNamespaces=true
RestrictRealtime=true
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallFilter=adjtimex clock_adjtime clock_adjtime64
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
