"""The one-wire tree as the kernel shows it, byte for byte."""

import asyncio
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pledgewatch_sim.onewire import POWER_ON_MC, OneWireTree, crc8, scratchpad, w1_slave

PROBE, OTHER = "28-0316a2794e2f", "28-0316a27956b1"


def test_crcs_that_others_have_reckoned() -> None:
    # The ROM of Maxim's application note 27, and the nine bytes of a DS18B20 after power-on.
    assert crc8(bytes.fromhex("02 1c b8 01 00 00 00")) == 0xA2
    assert scratchpad(POWER_ON_MC) == bytes.fromhex("50 05 4b 46 7f ff 0c 10 1c")


@pytest.mark.parametrize(
    ("temperature_mc", "octets", "crc", "shown_mc"),
    [
        (85_000, "50 05 4b 46 7f ff 0c 10 1c", "1c", 85_000),
        (21_000, "50 01 4b 46 7f ff 0c 10 e8", "e8", 21_000),
        (21_300, "55 01 4b 46 7f ff 0c 10 be", "be", 21_312),
        (0, "00 00 4b 46 7f ff 0c 10 c8", "c8", 0),
        (-62, "ff ff 4b 46 7f ff 0c 10 13", "13", -62),
        (-10_125, "5e ff 4b 46 7f ff 0c 10 6a", "6a", -10_125),
        (-18_438, "d9 fe 4b 46 7f ff 0c 10 15", "15", -18_437),
    ],
)
def test_a_good_read(temperature_mc: int, octets: str, crc: str, shown_mc: int) -> None:
    assert w1_slave(scratchpad(temperature_mc)) == f"{octets} : crc={crc} YES\n{octets} t={shown_mc}\n"


@given(st.integers(-55_000, 125_000), st.integers(0, 71))
def test_any_wrong_bit_is_a_failed_check(temperature_mc: int, bit: int) -> None:
    good = scratchpad(temperature_mc)
    noisy = bytearray(good)
    noisy[bit // 8] ^= 1 << bit % 8
    first, second = w1_slave(bytes(noisy), good).splitlines()
    assert first == f"{noisy.hex(' ')} : crc={crc8(bytes(noisy[:8])):02x} NO"
    assert second.startswith(f"{good.hex(' ')} t="), "the bytes of the last good read are kept"


def test_a_noisy_wire_shows_the_old_bytes_and_the_new_wrong_temperature(tmp_path: Path) -> None:
    temperature_mc = 21_000
    tree = OneWireTree(tmp_path, {PROBE: lambda _: temperature_mc}, lambda: 0)
    tree.fail_checks(PROBE, failing=True)
    tree.refresh()
    shown = tmp_path / PROBE / "w1_slave"
    assert shown.read_text().splitlines()[1].startswith("00 00 00 00 00 00 00 00 00 t="), "nothing was ever read"
    tree.fail_checks(PROBE, failing=False)
    tree.refresh()
    assert shown.read_text() == w1_slave(scratchpad(21_000))
    tree.fail_checks(PROBE, failing=True)
    temperature_mc = 30_000
    tree.refresh()
    assert shown.read_text() == (
        "e4 01 4b 46 7f ff 0c 10 86 : crc=93 NO\n"  # e0 01 … 86 was sent
        "50 01 4b 46 7f ff 0c 10 e8 t=30250\n"
    )


def test_a_probe_vanishes_and_comes_back_with_its_power_on_value(tmp_path: Path) -> None:
    tree = OneWireTree(tmp_path, {PROBE: lambda _: 4_000, OTHER: lambda _: 5_000}, lambda: 0)
    slaves = tmp_path / "w1_bus_master1" / "w1_master_slaves"
    tree.refresh()
    assert slaves.read_text() == f"{PROBE}\n{OTHER}\n"
    tree.vanish(PROBE)
    tree.refresh()
    assert not (tmp_path / PROBE).exists()
    assert slaves.read_text() == f"{OTHER}\n"
    tree.vanish(OTHER)
    tree.refresh()
    assert slaves.read_text() == "not found.\n"
    tree.come_back(PROBE)
    tree.refresh()
    assert (tmp_path / PROBE / "w1_slave").read_text() == w1_slave(scratchpad(POWER_ON_MC))
    tree.refresh()
    assert (tmp_path / PROBE / "w1_slave").read_text() == w1_slave(scratchpad(4_000))


async def test_a_reader_sees_whole_files_while_they_change(tmp_path: Path) -> None:
    now_ms = 0

    def tick() -> int:
        nonlocal now_ms
        now_ms += 1
        return now_ms

    tree = OneWireTree(tmp_path, {PROBE: lambda at_ms: at_ms * 63}, tick)
    tree.refresh()
    task = asyncio.create_task(tree.run(0.0))
    stop = threading.Event()

    def read_on() -> set[str]:
        seen: set[str] = set()
        while len(seen) < 20 and not stop.is_set():
            text = (tmp_path / PROBE / "w1_slave").read_text()
            assert text == w1_slave(bytes.fromhex(text[:26]))
            seen.add(text)
        return seen

    try:
        assert len(await asyncio.wait_for(asyncio.to_thread(read_on), 20.0)) == 20, "it changes, and each is whole"
    finally:
        stop.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
