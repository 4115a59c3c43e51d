"""Real input, end to end: captures of real receivers, played over a pty into the real agent, through a real broker,
into the cloud's journal. What was committed equals gpsd's golden output.
"""

from pathlib import Path

from brokers import started
from captures import play_all
from golden import CAPTURES, EXCEPTIONS, SPREAD, WANTED_SHARE, Found, golden_fixes, missed
from needed import needs


def assert_golden(log_name: str, found: list[Found]) -> None:
    """What was committed is what gpsd found, or falls short as the list of exceptions says."""
    golden = golden_fixes(CAPTURES / log_name)
    short = missed(golden, found)
    met = len(golden) - len(short)
    if log_name in EXCEPTIONS:
        assert met < WANTED_SHARE * len(golden), f"{log_name} is no longer an exception"
    else:
        assert met >= WANTED_SHARE * len(golden), f"{log_name}: {met} of {len(golden)}, missed {short[:4]}"


@needs(CAPTURES.name)
async def test_ten_receivers_from_the_serial_line_to_the_journal(tmp_path: Path) -> None:
    broker = started("mosquitto", tmp_path / "broker")
    try:
        found = await play_all(tmp_path / "station", broker, [CAPTURES / name for name in SPREAD])
    finally:
        broker.kill()
    for name in SPREAD:
        assert_golden(name, found[name])


@needs(CAPTURES.name)
async def test_a_receiver_through_the_embedded_broker(tmp_path: Path) -> None:
    broker = started("amqtt", tmp_path / "broker")
    try:
        found = await play_all(tmp_path / "station", broker, [CAPTURES / "bu353s4.log"])
    finally:
        broker.kill()
    assert_golden("bu353s4.log", found["bu353s4.log"])
