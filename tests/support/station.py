"""The whole of it as real processes: a broker, the cloud, the sandbox core, and edge agents with their sensors."""

import argparse
import asyncio
import base64
import contextlib
import io
import json
import os
import signal
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from brokers import BrokerProcess
from forking import Child, program

from pledgewatch_edge import command as edge_command
from pledgewatch_edge.agent import load, station_of
from pledgewatch_sim.programs import free_port

OPERATOR = "harbour-line"
# Everything that a service does now and then, within a test's seconds.
IMPATIENT_INGEST = """committed_after_readings = 20
committed_after_s = 0.5
tick_s = 1.0
hearing_grace_s = 0
snapshot_every_entries = 50
"""
# What a test has seen to be committed, it asks for at once.
IMPATIENT_API = "state_stands_s = 0\n"


class Process:
    """One of our programs, in a process of its own (forking.py)."""

    def __init__(self, name: str, arguments: list[str], folder: Path) -> None:
        self.name = name
        self._arguments = arguments
        self._log = folder / f"{name}.log"
        self._process: Child | None = None

    def start(self) -> None:
        """Start it."""
        module, *arguments = self._arguments
        self._process = program(module, arguments, self._log)

    def kill(self) -> None:
        """SIGKILL."""
        self.end(signal.SIGKILL)

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """A signal, and wait. Returns the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        code = self._process.wait(60)
        self._process = None
        return code

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def memory_kib(self) -> int:
        """Resident memory, from /proc."""
        return self._counted("status", "VmRSS")

    @property
    def most_memory_kib(self) -> int:
        """The most that was ever resident, from /proc."""
        return self._counted("status", "VmHWM")

    @property
    def written_bytes(self) -> int:
        """What it has handed to disks, in whole blocks, from /proc."""
        return self._counted("io", "write_bytes")

    def _counted(self, file: str, name: str) -> int:
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/{file}").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])

    @property
    def processor_s(self) -> float:
        """Seconds of the processor that it has used, from /proc."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def log(self) -> str:
        """What it said."""
        return self._log.read_text(encoding="utf-8", errors="replace")


class Station:
    """Configuration and processes in a folder. Devices are added, then `open` starts cloud and core."""

    def __init__(
        self,
        folder: Path,
        broker: BrokerProcess,
        *,
        misbehave: str = "",
        ingest: str = IMPATIENT_INGEST,
        api: str = IMPATIENT_API,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`headers` show who asks, where the book has users."""
        self.folder = folder
        self.broker = broker
        self._ingest, self._api = ingest, api
        self._headers = dict(headers or {})
        self.api_port, self.core_port = free_port(), free_port()
        folder.mkdir(parents=True, exist_ok=True)
        secret = base64.b64encode(os.urandom(32)).decode()
        (folder / "webhook.secret").write_text(f"whsec_{secret}\n", encoding="ascii")
        self._write(
            "bank.toml",
            f'[bank]\nport = {self.core_port}\ndatabase = "ledger.sqlite"\nsecret_files = ["webhook.secret"]\n'
            + misbehave,
        )
        self._write("cloud.toml", self._cloud_file())
        self.cloud = Process("cloud", ["pledgewatch_cloud", "run", "--config", str(folder / "cloud.toml")], folder)
        self.bank = Process("bank", ["pledgewatch_sim", "bank", "--config", str(folder / "bank.toml")], folder)
        self.agents: dict[str, Process] = {}

    def add_device(self, name: str, *, sensors: str, uplink: str = "") -> str:
        """A device with its configuration; returns its public key. `sensors`: the sections [gps] and [onewire]."""
        path = self.folder / f"{name}.toml"
        path.write_text(
            f'[device]\noperator = "{OPERATOR}"\nname = "{name}"\nstate_folder = "{name}"\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {self.broker.port}\nkeep_alive_s = 5\nreconnect_max_s = 0.5\n'
            f"[uplink]\nresend_after_s = 1.0\n{uplink}\n[checkpoint]\nevery_readings = 10\nevery_s = 2.0\n{sensors}\n",
            encoding="utf-8",
        )
        (self.folder / name).mkdir(exist_ok=True)
        self.agents[name] = Process(name, ["pledgewatch_edge", "run", "--config", str(path)], self.folder)
        return str(self.edge_says(name, "identity")["public_key"])

    def edge_says(self, name: str, command: str) -> dict[str, Any]:
        """What `pledgewatch-edge identity` or `status` prints for programs, without a process for it."""
        path, out, errors = self.folder / f"{name}.toml", io.StringIO(), io.StringIO()
        asked = argparse.Namespace(command=command, json=True)
        assert edge_command.act([station_of(load(path), path)], asked, out, errors) == 0, errors.getvalue()
        found: dict[str, Any] = json.loads(out.getvalue())
        return found

    def set_book(self, document: dict[str, Any]) -> None:
        """The book that the cloud begins with."""
        self._write("book.json", json.dumps(document))

    def open(self) -> None:
        """Start core and cloud, and wait until both answer."""
        self.bank.start()
        self.cloud.start()
        self.until(lambda: self.answers(self.core_port) and self.answers(self.api_port), "core and cloud to answer")

    def answers(self, port: int) -> bool:
        """Whether somebody is healthy there."""
        with contextlib.suppress(OSError, ValueError):
            return bool(self.get(port, "/healthz")["status"] == "ok")
        return False

    def get(self, port: int, path: str) -> Any:
        """The JSON at a path."""
        asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=self._headers)
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return json.load(answer)

    def status(self) -> dict[str, Any]:
        """The cloud's /status, or {} while it does not answer."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = self.get(self.api_port, "/status")
            return found
        return {}

    def until(self, condition: Any, what: str, timeout_s: float = 60) -> None:
        """Wait for something that other processes do."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {timeout_s} s for {what}\n{self.logs()}")
            time.sleep(0.05)

    async def until_async(self, condition: Any, what: str, timeout_s: float = 60) -> None:
        """The same, while the event loop goes on."""
        await asyncio.to_thread(self.until, condition, what, timeout_s)

    def logs(self) -> str:
        """The end of everybody's log."""
        everybody = [self.cloud, self.bank, *self.agents.values()]
        return "\n".join(f"--- {one.name}\n{one.log()[-1_500:]}" for one in everybody if one._log.exists())

    def close(self) -> None:
        """End whatever still runs."""
        for one in (*self.agents.values(), self.cloud, self.bank):
            if one.alive:
                one.kill()

    def _cloud_file(self) -> str:
        return (
            '[service]\ndata_folder = "data"\n'
            f'[broker]\nhost = "127.0.0.1"\nport = {self.broker.port}\nkeep_alive_s = 5\nreconnect_max_s = 0.3\n'
            f"[ingest]\n{self._ingest}"
            f"[api]\nport = {self.api_port}\n{self._api}"
            f'[core]\nurl = "http://127.0.0.1:{self.core_port}/messages"\nsecret_files = ["webhook.secret"]\n'
            "allow_private_networks = true\nretry_scale = 0.0001\n"
            '[book]\nfiles = ["book.json"]\n'
        )

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def opened(station: Station) -> Iterator[Station]:
    """The station with core and cloud running, all ended at the end."""
    try:
        station.open()
        yield station
    finally:
        station.close()
