"""The speed of a receiver's line is found, kept, and found again when it has changed."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from functools import reduce
from pathlib import Path
from random import Random

import pytest
from serial_line import SerialLine, sampled

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.sample import Sample
from pledgewatch_edge.sensors import baud_search
from pledgewatch_edge.sensors.baud_search import LISTEN_S, NOISE_BYTES, USUAL, BaudSearch
from pledgewatch_edge.sensors.gps import GpsSensor, GpsSettings
from pledgewatch_edge.ubx import sums


def sentence(body: str) -> bytes:
    checksum = reduce(lambda left, right: left ^ right, body.encode("ascii"))
    return f"${body}*{checksum:02X}\r\n".encode("ascii")


def cycle(second: int, talker: str = "GN") -> bytes:
    at = f"12{second // 60:02d}{second % 60:02d}.00"
    place = f"33{second % 60:02d}.00000,N,11815.00000,W"
    return sentence(f"{talker}RMC,{at},A,{place},1.000,90.00,010326,,,A") + sentence(
        f"{talker}GGA,{at},{place},1,08,0.90,12.3,M,-34.0,M,,"
    )


FRAME = b"\x01\x07" + (60).to_bytes(2, "little") + Random(1).randbytes(60)
UBX = b"\xb5\x62" + FRAME + sums(FRAME)


def found_at(search: BaudSearch, sent_at: int, said: bytes, *, seconds: int = 60, begun: int = 0) -> tuple[int, bytes]:
    """When a line that says the same each second is heard at its own speed, and what is given on by then."""
    for second in range(begun, begun + seconds):
        given = search.hear(sampled(said, sent_at, search.baud), float(second))
        if search.is_found:
            return second, given
    raise AssertionError(f"not found in {seconds} s; now at {search.baud}")


@pytest.mark.parametrize("said", [cycle(1), cycle(1, "BD"), UBX + UBX], ids=["sentences", "BeiDou", "u-blox frames"])
@pytest.mark.parametrize("sent_at", USUAL)
def test_every_usual_speed_is_found(sent_at: int, said: bytes) -> None:
    search = BaudSearch()
    search.opened(0.0)
    second, given = found_at(search, sent_at, said)
    assert search.baud == sent_at
    assert second <= 3 * (USUAL.index(sent_at) + 1), "about LISTEN_S for each that was tried before"
    assert said in given, "what was heard while it was tried is not lost"


def test_bytes_at_a_wrong_speed_are_others() -> None:
    for sent_at in USUAL:
        for heard_at in USUAL:
            assert (sampled(cycle(1), sent_at, heard_at) == cycle(1)) == (sent_at == heard_at)


def test_one_right_piece_may_be_chance() -> None:
    search = BaudSearch()
    search.opened(0.0)
    assert search.hear(sentence("GPTXT,1"), 0.1) == b""
    assert not search.is_found
    assert search.hear(sentence("GPTXT,2"), 0.2) == sentence("GPTXT,1") + sentence("GPTXT,2")


def test_it_is_kept_over_silence_and_some_noise_and_searched_for_when_all_is_noise() -> None:
    search = BaudSearch()
    search.opened(0.0)
    now, _ = found_at(search, 38_400, cycle(1))
    dice = Random(3)
    for _ in range(10):
        assert search.hear(dice.randbytes(NOISE_BYTES // 2 - 10), now) != b""
        search.hear(cycle(2), now)
    for later in range(3_600):
        search.hear(b"", float(now + later))
    search.opened(5_000.0)
    assert (search.is_found, search.baud) == (True, 38_400)
    for second in range(5_000, 5_200):
        search.hear(sampled(cycle(second), 4_800, search.baud), float(second))
        if not search.is_found:
            break
    else:
        raise AssertionError("still taken for right")
    found_at(search, 4_800, cycle(1), begun=second + 1)
    assert search.baud == 4_800


def test_a_silent_line_is_tried_at_every_speed_and_what_is_held_is_bounded() -> None:
    search = BaudSearch()
    search.opened(0.0)
    tried = set()
    for step in range(200):
        search.hear(b"", step * LISTEN_S / 10)
        tried.add(search.baud)
    assert tried == set(USUAL)
    for _ in range(100):
        search.hear(bytes(1_000), 0.0)
    assert len(search._held) <= NOISE_BYTES


@pytest.fixture
def line(tmp_path: Path) -> Iterator[SerialLine]:
    made = SerialLine(tmp_path / "gps", 57_600)
    yield made
    made.close()


@contextmanager
def speaking(line: SerialLine) -> Iterator[None]:
    """A receiver that says a cycle each fiftieth of a second."""

    async def speak() -> None:
        for second in range(3_000):
            line.say(cycle(second))
            await asyncio.sleep(0.02)

    task = asyncio.ensure_future(speak())
    try:
        yield
    finally:
        task.cancel()


async def first_of(samples: AsyncGenerator[Sample, None]) -> Sample:
    async with asyncio.timeout(60):
        return await anext(samples)


async def test_the_sensor_sets_the_line_to_the_receivers_speed_and_follows_it_to_another(
    line: SerialLine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(baud_search, "LISTEN_S", 0.15)
    clock = AgentClock(is_synchronised=lambda: False)
    sensor = GpsSensor(GpsSettings(port=line.link, interval_s=0.0), clock)
    async with aclosing(sensor.samples()) as samples:
        with speaking(line):
            assert (await first_of(samples)).clock == 0
            assert line.heard_at == 57_600
            line.baud = 4_800
            async with asyncio.timeout(60):
                while line.heard_at != 4_800 or not any("baud=4800" in one for one in caplog.messages):
                    await first_of(samples)
    said = [one.partition(" gps")[2] or one for one in caplog.messages if "baud" in one]
    assert [one.rpartition("gps ")[2].rpartition("baud=")[2] for one in said] == ["57600", "57600, searching", "4800"]


async def test_a_speed_of_the_configuration_is_never_left(line: SerialLine) -> None:
    sensor = GpsSensor(GpsSettings(port=line.link, baud=9_600), AgentClock(is_synchronised=lambda: False))
    async with aclosing(sensor.samples()) as samples:
        with speaking(line), pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(samples)
        assert line.heard_at == 9_600
