"""The services of docker-compose.yml as processes of this machine, with the same files under the same paths.

There is no engine here, so Linux itself is asked for what an engine would ask it for (as root, with unshare(1),
mount(8) and setpriv(1)): a network of their own, in which the services' names are the loopback address; for each
service a root folder of its own with its configurations, secrets and volumes where docker-compose.yml puts them, read
only where that says so, without the rest of /etc and /var; its user; no capabilities, and no new privileges.

What is not as in a container: programs come from this machine (.venv, Debian's Mosquitto), not from images; there are
no limits of memory and processor; all services share one loopback address. A service whose program is not here is
named and skipped, and so are waits for it.

It starts them in the order of their `depends_on`, asks the health checks of docker-compose.yml until each is healthy,
and then waits until the cloud has committed readings of every device of the site.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker-compose.yml"
API = "http://127.0.0.1:8420"
TOKEN_FILE = Path(__file__).resolve().parent.parent / "compose" / "made" / "secrets" / "api.token"
_SYSTEM = ("bin", "dev", "lib", "lib64", "proc", "sbin", "sys", "usr")
_ETC = ("group", "hosts", "ld.so.cache", "localtime", "nsswitch.conf", "passwd", "ssl")
_PROGRAMS = {"eclipse-mosquitto": ("mosquitto", "-c", "/mosquitto/config/mosquitto.conf")}
"""What an image runs by itself, where Debian has the same program."""
_LOOK_EVERY_S = 0.5


class Mount(NamedTuple):
    """A file or folder of this machine, and where the service sees it."""

    source: str
    target: str
    writable: bool


class Service:
    """A service of docker-compose.yml, and the process that it becomes."""

    def __init__(self, name: str, said: dict[str, Any], document: dict[str, Any], work: Path) -> None:
        self.name = name
        self.said = said
        self.log = work / f"{name}.log"
        self.uid, self.gid = map(int, said["user"].split(":"))
        self.process: subprocess.Popen[bytes] | None = None
        self._document = document
        self._work = work
        self._spec = work / f"{name}.json"

    @property
    def command(self) -> list[str] | None:
        """What is run; None where its program is not here."""
        image = self.said["image"].partition(":")[0]
        if "build" in self.said:
            return [str(ROOT / ".venv" / "bin" / image), *self.said["command"]]
        if image in _PROGRAMS and shutil.which(_PROGRAMS[image][0]):
            return [*_PROGRAMS[image]]
        return None

    @property
    def needs(self) -> dict[str, str]:
        """The services that it waits for, and for which condition."""
        return {name: one["condition"] for name, one in self.said.get("depends_on", {}).items()}

    def prepare(self) -> None:
        """Write down how its processes see the machine."""
        spec = {
            "mounts": [one._asdict() for one in self._mounts()],
            "tmpfs": [one.partition(":")[0] for one in self.said.get("tmpfs", ())],
            "read_only": bool(self.said.get("read_only")),
            "uid": self.uid,
            "gid": self.gid,
            "environment": self.said.get("environment", {}),
        }
        self._spec.write_text(json.dumps(spec), encoding="utf-8")

    def start(self) -> None:
        """Start it."""
        command = self.command
        assert command is not None
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(self._entered(command), stdout=output, stderr=output)

    def is_healthy(self) -> bool:
        """Whether docker-compose.yml's own check is content."""
        kind, *test = self.said["healthcheck"]["test"]
        assert kind == "CMD"
        if test[0] == "python":
            test[0] = sys.executable
        told = [word.replace("$$", "$") for word in test]
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(self._entered(told), capture_output=True, check=False, timeout=10).returncode == 0
        return False

    def is_running(self) -> bool:
        """Whether its process is alive."""
        return self.process is not None and self.process.poll() is None

    def end(self) -> int | None:
        """SIGTERM, and SIGKILL for one that does not listen; the exit code."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def _entered(self, command: Sequence[str]) -> list[str]:
        unshare = ["unshare", "--mount", "--propagation", "private"]
        return [*unshare, sys.executable, __file__, "--enter", str(self._spec), *command]

    def _mounts(self) -> Iterator[Mount]:
        for kind in ("configs", "secrets"):
            for one in self.said.get(kind, ()):
                name = one if isinstance(one, str) else one["source"]
                target = f"/run/secrets/{name}" if isinstance(one, str) else one["target"]
                yield Mount(str(ROOT / self._document[kind][name]["file"]), target, writable=False)
        for volume in self.said.get("volumes", ()):
            source, target, *mode = volume.split(":")
            if source.startswith("."):
                yield Mount(str(ROOT / source), target, writable="ro" not in mode)
            else:
                folder = self._work / "volumes" / source
                folder.mkdir(parents=True, exist_ok=True)
                os.chown(folder, self.uid, self.gid)
                yield Mount(str(folder), target, writable=True)


def enter(spec_file: Path, command: list[str]) -> None:
    """In a mount namespace of its own: make the service's root folder, go there, and become its command."""
    spec = json.loads(spec_file.read_text(encoding="utf-8"))
    # The folders of a checkout and of its Python may lie below what is hidden; they are looked up before.
    ours = [ROOT, Path(sys.base_prefix)]
    root = Path(tempfile.mkdtemp(prefix="root-", dir=spec_file.parent))  # which goes when all has ended
    _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", str(root))
    for name in _SYSTEM:
        path = Path("/") / name
        if path.is_symlink():
            (root / name).symlink_to(path.readlink())
        elif path.is_dir():
            _bind(path, root / name, writable=name == "dev", deep=True)
    for name in _ETC:
        if (Path("/etc") / name).exists():
            _bind(Path("/etc") / name, root / "etc" / name, writable=False)
    for folder in spec["tmpfs"]:
        below = root / folder.lstrip("/")
        below.mkdir(parents=True)
        _mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(below))
    for path in ours:
        if not path.is_relative_to("/usr"):
            _bind(path, root / str(path).lstrip("/"), writable=False)
            _open_way(root, path)
    for one in spec["mounts"]:
        _bind(Path(one["source"]), root / one["target"].lstrip("/"), writable=one["writable"])
    if spec["read_only"]:
        _mount("-o", "remount,ro", str(root))
    os.chroot(root)
    os.chdir("/")
    kept = {key: value for key, value in os.environ.items() if key in {"LANG", "LC_ALL", "PATH", "TZ"}}
    environment = {**kept, "HOME": "/", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", **spec["environment"]}
    user = [f"--reuid={spec['uid']}", f"--regid={spec['gid']}", "--clear-groups"]
    nothing = ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs"]
    os.execvpe("setpriv", ["setpriv", *user, *nothing, "--", *command], environment)


def _open_way(root: Path, path: Path) -> None:
    """The folders above a mount were made by us, and everybody may go through."""
    for above in path.parents:
        here = root / str(above).lstrip("/")
        if here != root and not os.path.ismount(here):
            with contextlib.suppress(OSError):
                here.chmod(0o755)


def _bind(source: Path, target: Path, *, writable: bool, deep: bool = False) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount("--rbind" if deep else "--bind", str(source), str(target))
    if not writable and not deep:
        _mount("-o", "remount,bind,ro", str(target))


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True)


def names_on_loopback(services: Sequence[str], work: Path) -> None:
    """In our own network and mount namespace: the services' names are this machine."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    hosts = work / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {' '.join(services)}\n", encoding="ascii")
    hosts.chmod(0o644)
    _mount("--bind", str(hosts), "/etc/hosts")


def in_order(services: dict[str, Service]) -> list[Service]:
    """Each after those that it needs."""
    order = TopologicalSorter({name: one.needs.keys() & services.keys() for name, one in services.items()})
    return [services[name] for name in order.static_order()]


def wait_until(condition: Any, what: str, services: Sequence[Service], deadline: float) -> None:
    """Raises SystemExit with the logs where a service ends or the time is over."""
    while not condition():
        ended = [one.name for one in services if one.process is not None and not one.is_running()]
        if ended or time.monotonic() > deadline:
            for one in services:
                if one.log.exists():
                    print(f"--- {one.name}\n{one.log.read_text(encoding='utf-8', errors='replace')[-2_000:]}")
            raise SystemExit(f"{', '.join(ended)} ended" if ended else f"waited in vain for {what}")
        time.sleep(_LOOK_EVERY_S)


def told(path: str) -> Any:
    """The JSON at a path of the cloud's API; None while it does not answer."""
    try:
        token = TOKEN_FILE.read_text(encoding="ascii").strip()
        asked = urllib.request.Request(f"{API}{path}", headers={"authorization": f"Bearer {token}"})
        with urllib.request.urlopen(asked, timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def committed() -> dict[str, int]:
    """The devices of the site, each with how many readings the cloud has committed without a gap, over its epochs."""
    found = told("/devices")
    return {one["device"]: sum(epoch["contiguous"] for epoch in one["epochs"]) for one in found or ()}


def show(services: Sequence[Service], begun: float) -> None:
    """What was waited for, and what has come of it."""
    status = told("/status")
    print(f"after {time.monotonic() - begun:.0f} s the cloud is ready: {told('/readyz')}")
    print(f"  journal entry {status['entry']}, {status['readings']} readings, {status['counts']}")
    for device, readings in sorted(committed().items()):
        print(f"  {device}: committed up to {readings}")
    for facility in told("/facilities") or ():
        print(f"  facility {facility['id']}: {json.dumps(facility.get('base') or {})[:160]}")
    for one in services:
        said = Path(f"/proc/{one.process.pid}/status").read_text(encoding="ascii") if one.process else ""
        kept = [line for line in said.splitlines() if line.startswith(("Uid:", "CapEff:", "NoNewPrivs:"))]
        print(f"  {one.name}: healthy; {' '.join(' '.join(line.split()[:2]) for line in kept)}")


def play(options: argparse.Namespace, work: Path) -> None:
    """Start them all, wait, show, and end them."""
    document = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    every = {name: Service(name, said, document, work) for name, said in document["services"].items()}
    names_on_loopback([*every], work)
    services = {name: one for name, one in every.items() if one.command is not None}
    for name in sorted(every.keys() - services.keys()):
        print(f"{name}: skipped, for its program is not on this machine ({every[name].said['image'].split('@')[0]})")
    begun = time.monotonic()
    deadline = begun + options.seconds
    started: list[Service] = []
    try:
        for one in in_order(services):
            one.prepare()
            for name in [name for name, condition in one.needs.items() if condition == "service_healthy"]:
                if name in services:
                    wait_until(services[name].is_healthy, f"{name} to be healthy", started, deadline)
            print(f"{one.name}: starts as {one.uid}:{one.gid}, {' '.join(one.command or [])}", flush=True)
            one.start()
            started.append(one)
        for one in started:
            wait_until(one.is_healthy, f"{one.name} to be healthy", started, deadline)
        devices = options.devices
        wait_until(
            lambda: len([one for one in committed().values() if one]) >= devices,
            f"committed readings of {devices} devices",
            started,
            deadline,
        )
        show(started, begun)
        if options.stay:
            print(f"all of it runs; the API is at {API} inside of this network. Ctrl-C ends it", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    finally:
        codes = {one.name: one.end() for one in reversed(started)}
        print(f"ended: {codes}")


def main() -> None:
    """The command line."""
    if sys.argv[1:2] == ["--enter"]:
        enter(Path(sys.argv[2]), sys.argv[3:])
    parser = argparse.ArgumentParser(
        prog="scripts/run-compose-on-host", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=240.0, help="how long to wait at most (%(default)s)")
    parser.add_argument("--devices", type=int, default=3, help="that must have committed readings (%(default)s)")
    parser.add_argument("--stay", action="store_true", help="go on until Ctrl-C")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside is not None:
        play(options, options.inside)
        return
    if os.geteuid() != 0:
        sys.exit("namespaces and other users' processes need root: run it as root, or use an engine")
    if missing := [name for name in ("unshare", "mount", "ip", "setpriv", "mosquitto") if shutil.which(name) is None]:
        sys.exit(f"{', '.join(missing)} is not here (Debian: util-linux, iproute2, mosquitto)")
    with tempfile.TemporaryDirectory(prefix="compose-") as work:
        Path(work).chmod(0o711)
        unshare = ["unshare", "--mount", "--net", "--propagation", "private"]
        inside = [*unshare, sys.executable, __file__, *sys.argv[1:], "--inside", work]
        with contextlib.suppress(KeyboardInterrupt):
            sys.exit(subprocess.run(inside, check=False).returncode)


if __name__ == "__main__":
    main()
