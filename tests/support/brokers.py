"""Real brokers in processes of their own: Mosquitto where the machine has it, the embedded one always."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from forking import Child, nursery_of
from needed import system_program

from pledgewatch_sim.programs import free_port

_EMBEDDED = """
import asyncio, sys
from pledgewatch_cloud.broker import run_alone
asyncio.run(run_alone("127.0.0.1", int(sys.argv[1])))
"""


class BrokerProcess:
    """A broker on a port of its own, which it keeps over restarts. `kind` is mosquitto or amqtt."""

    def __init__(
        self,
        kind: str,
        folder: Path,
        *,
        persistent: bool = False,
        extra: str = "",
        port: int = 0,
        queued_max: int = 10_000_000,
    ) -> None:
        self.kind = kind
        self.port = port or free_port()
        self._folder = folder
        self._store = folder / "mosquitto-store"
        self._process: subprocess.Popen[bytes] | Child | None = None
        if kind == "amqtt":
            return
        self._store.mkdir(parents=True)
        self._store.chmod(0o777)  # started by root, mosquitto becomes a user of its own
        folder.chmod(0o755)
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true"] if not extra else [extra % self.port]
        lines += [f"max_queued_messages {queued_max}", "max_inflight_messages 0"]
        if persistent:
            lines += ["persistence true", f"persistence_location {self._store}/", "autosave_interval 1"]
        if os.geteuid() == 0:
            lines.append("user root")
        configuration = folder / "mosquitto.conf"
        configuration.write_text("\n".join(lines) + "\n", encoding="ascii")
        self._command = [system_program("mosquitto"), "-c", str(configuration)]

    def start(self) -> None:
        """Start it and wait until it listens."""
        log = self._folder / "broker.log"
        if self.kind == "amqtt":
            self._process = nursery_of("pledgewatch_cloud.broker").start(_EMBEDDED, [str(self.port)], log)
        else:
            with log.open("ab") as output:
                self._process = subprocess.Popen(self._command, stdout=output, stderr=output)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self._process.poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("the broker does not listen")

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM."""
        self._end(signal.SIGTERM)

    def hang_up(self) -> None:
        """SIGHUP, by which Mosquitto reads its lists again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def revive(self) -> bool:
        """Start it again where it has ended by itself, as systemd and compose do; whether it had. Mosquitto before 2.1
        may (docs/DEVICES.md)."""
        if self._process is None or self._process.poll() is None:
            return False
        self.start()
        return True

    def wipe(self) -> None:
        """Forget all that it kept. Only while it is not running."""
        for path in self._store.glob("*"):
            path.unlink()

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None


def started(kind: str, folder: Path, *, persistent: bool = False) -> BrokerProcess:
    """A broker that listens."""
    folder.mkdir(parents=True, exist_ok=True)
    broker = BrokerProcess(kind, folder, persistent=persistent)
    broker.start()
    return broker
