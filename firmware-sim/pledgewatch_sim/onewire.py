"""A one-wire tree of DS18B20 probes as the kernel's w1_therm driver shows it.

    <root>/28-0000000a0001/w1_slave
        50 01 4b 46 7f ff 0c 10 e8 : crc=e8 YES
        50 01 4b 46 7f ff 0c 10 e8 t=21000

The nine bytes are the probe's scratchpad: temperature in sixteenths of a degree, alarm limits, configuration, and the
Dallas CRC-8 (polynomial x⁸ + x⁵ + x⁴ + 1, reflected). Line 1 shows the bytes as received and the CRC reckoned from the
first eight; line 2 the bytes of the last read that passed (zeros before the first), but `t=` always from the bytes just
received, also when they are wrong (Linux, drivers/w1/slaves/w1_therm.c, w1_slave_show).
"""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

POWER_ON_MC = 85_000
NOTHING_RETAINED = bytes(9)
_CONFIGURATION = bytes([0x4B, 0x46, 0x7F, 0xFF, 0x0C, 0x10])  # alarm limits, 12 bits, reserved


def crc8(data: bytes) -> int:
    """The Dallas CRC-8 of the scratchpad's first eight bytes."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc


def scratchpad(temperature_mc: int) -> bytes:
    """A probe's nine bytes at a temperature in thousandths of a degree, rounded to the probe's sixteenths."""
    sixteenths = round(temperature_mc * 16 / 1_000)
    data = sixteenths.to_bytes(2, "little", signed=True) + _CONFIGURATION
    return data + bytes([crc8(data)])


def w1_slave(received: bytes, retained: bytes = NOTHING_RETAINED) -> str:
    """The file's two lines for the nine bytes just received; `retained` are those of the last read that passed."""
    crc = crc8(received[:8])
    passed = crc == received[8]
    sixteenths = int.from_bytes(received[:2], "little", signed=True)
    # As C divides: towards zero.
    shown_mc = sixteenths * 1_000 // 16 if sixteenths >= 0 else -(-sixteenths * 1_000 // 16)
    second = received if passed else retained
    return f"{received.hex(' ')} : crc={crc:02x} {'YES' if passed else 'NO'}\n{second.hex(' ')} t={shown_mc}\n"


class OneWireTree:
    """A folder of probes, each with a temperature that is asked for anew at every turn."""

    def __init__(self, root: Path, probes: dict[str, Callable[[int], int]], now_ms: Callable[[], int]) -> None:
        """`probes`: id such as 28-0000000a0001 → thousandths of a degree at a moment."""
        self.root = root
        self._probes = probes
        self._now_ms = now_ms
        self._gone: set[str] = set()
        self._failing: set[str] = set()
        self._powering_up: set[str] = set()
        self._retained: dict[str, bytes] = {}

    def vanish(self, probe: str) -> None:
        """The probe's wire is cut. What the driver remembered of it goes with it."""
        self._gone.add(probe)
        self._retained.pop(probe, None)
        shutil.rmtree(self.root / probe, ignore_errors=True)

    def come_back(self, probe: str) -> None:
        """The probe's wire is mended; its first word is the power-on value."""
        self._gone.discard(probe)
        self._powering_up.add(probe)

    def fail_checks(self, probe: str, *, failing: bool) -> None:
        """The wire is noisy: checks fail, or no longer."""
        (self._failing.add if failing else self._failing.discard)(probe)

    def refresh(self) -> None:
        """Write every probe's present word. A reader sees the old file or the new one, never half of one."""
        master = self.root / "w1_bus_master1"
        master.mkdir(parents=True, exist_ok=True)
        there = [probe for probe in self._probes if probe not in self._gone]
        _replace(master / "w1_master_slaves", "".join(f"{probe}\n" for probe in there) or "not found.\n")
        for probe in there:
            temperature_mc = POWER_ON_MC if probe in self._powering_up else self._probes[probe](self._now_ms())
            self._powering_up.discard(probe)
            folder = self.root / probe
            folder.mkdir(exist_ok=True)
            _replace(folder / "w1_slave", self._read(probe, scratchpad(temperature_mc)))

    async def run(self, interval_s: float = 0.2) -> None:
        """Keep the tree fresh until cancelled."""
        while True:
            self.refresh()
            await asyncio.sleep(interval_s)

    def _read(self, probe: str, sent: bytes) -> str:
        """What the driver shows when a probe sends its bytes, over a wire that may be noisy."""
        if probe in self._failing:
            return w1_slave(_with_noise(sent), self._retained.get(probe, NOTHING_RETAINED))
        self._retained[probe] = sent
        return w1_slave(sent)


def _with_noise(sent: bytes) -> bytes:
    """One bit of the temperature wrong: the CRC-8 finds every single one."""
    return bytes([sent[0] ^ 0x04]) + sent[1:]


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_text(text, encoding="ascii")
    fresh.replace(path)
