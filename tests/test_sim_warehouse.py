"""The simulated warehouse: the same for the same seed, nothing from or to nowhere, and every byte as others read it."""

import asyncio
import contextlib
import csv
import gzip
import json
import os
import random
import select
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from edge_support import running_broker, until
from heard import Heard
from hypothesis import given, settings
from hypothesis import strategies as st
from needed import DATA, needs

from pledgewatch_cloud.decide.moments import moment_ms
from pledgewatch_cloud.decide.stock import intake
from pledgewatch_cloud.decide.stock.rows import Report, StockKey
from pledgewatch_cloud.decide.stock.stock_book import StockBook
from pledgewatch_cloud.decide.stock.stock_terms import READERS
from pledgewatch_edge.config import BrokerSettings
from pledgewatch_gateway.config import load
from pledgewatch_gateway.roster import Roster
from pledgewatch_gateway.sources import Value, chirpstack, esphome, tasmota, zigbee2mqtt
from pledgewatch_gateway.sources.lines import LineCutter, LineForm
from pledgewatch_gateway.sources.lines import read as read_line
from pledgewatch_gateway.sources.modbus import ModbusSource
from pledgewatch_gateway.sources.mqtt import Form, MqttSettings, MqttSource
from pledgewatch_sim import modbus_tcp
from pledgewatch_sim.warehouse import layout, program, sales, sensors, setting, stock_forms, truth
from pledgewatch_sim.warehouse.drop import Drop
from pledgewatch_sim.warehouse.layout import COLD, HALL, RACKS
from pledgewatch_sim.warehouse.model import OUTSIDE, Floor, ImpossibleError, Load, Move
from pledgewatch_sim.warehouse.mqtt_device import MqttDevice, connect, publish
from pledgewatch_sim.warehouse.payloads import Message
from pledgewatch_sim.warehouse.people import Deed, People, Story
from pledgewatch_sim.warehouse.sales import DAY_MS, Sale, SalesError
from pledgewatch_sim.warehouse.sensors import Asked
from pledgewatch_sim.warehouse.truth import Kind, Mishap
from pledgewatch_sim.warehouse.wms import Booking
from pledgewatch_sim.warehouse.wms_server import create_wms
from pledgewatch_wire.reading import Quality, tag_name

START_MS = moment_ms("start", "2026-03-02T00:00:00Z")
EVERY_KIND = dict.fromkeys(Kind, 2)
FOLDER = "retail-uci"
FILE = DATA / FOLDER / "online_retail_2010-12_2011-03.csv.gz"


def people_of(seed: int = 1, days: int = 6, mishaps: dict[Kind, int] | None = None, skus: int = 12) -> People:
    story = Story(seed, START_MS, days, EVERY_KIND if mishaps is None else mishaps)
    return People(story, sales.of_dice(seed, days, skus))


def told(people: People) -> list[Deed]:
    return people.until(people.story.end_ms)


def believed(people: People) -> dict[tuple[str, str], int]:
    found = Counter[tuple[str, str]]()
    for (_, place, sku), pieces in people.stock_system.on_hand().items():
        found[place, sku] += pieces
    return dict(found)


def json_document(people: People, at_ms: int) -> bytes:
    """All that the stock system answers when it is asked for everything."""
    system = people.stock_system
    on_hand = system.on_hand()
    owners = sorted({owner for owner, _, _ in on_hand})
    found = {
        "movements": [stock_forms.movement(one) for one in system.after(0, system.newest)],
        "snapshots": [stock_forms.snapshot(on_hand, owner, at_ms) for owner in owners],
    }
    return json.dumps(found).encode()


def assert_ledger_explains(people: People, at_ms: int) -> None:
    """Stock system and floor differ by what the ledger of truth says, and by nothing else."""
    system, floor = believed(people), people.scene.floor.stock()
    differs = {key: system.get(key, 0) - floor.get(key, 0) for key in {*system, *floor}}
    assert {key: pieces for key, pieces in differs.items() if pieces} == truth.excess(people.ledger, at_ms)


def test_the_same_seed_tells_the_same_story_to_the_byte_and_another_seed_another() -> None:
    def everything(seed: int) -> tuple[object, ...]:
        people = people_of(seed)
        deeds = told(people)
        bookings = people.stock_system.after(0, 10**6)
        asked = asked_of(people, people.story.end_ms)
        said = [sensors.messages(asked, device) for one in sensors.CONNECTIONS for device in one.devices]
        on_hand = people.stock_system.on_hand()
        return (
            deeds,
            [one.as_json() for one in people.ledger],
            said,
            sensors.registers(asked),
            stock_forms.csv_document(bookings),
            json_document(people, START_MS),
            stock_forms.x12_document(bookings, on_hand, START_MS, 1),
        )

    assert everything(1) == everything(1)
    for one, other in zip(everything(1), everything(2), strict=True):
        assert one != other


def test_what_a_device_says_does_not_depend_on_who_was_asked_before() -> None:
    people = people_of(mishaps={})
    told(people)
    asked = asked_of(people, people.story.end_ms)
    first = sensors.messages(asked, layout.COLD_DEVICE)
    sensors.messages(asked, layout.RACK_PROBE)
    assert sensors.messages(asked, layout.COLD_DEVICE) == first


@given(seed=st.integers(0, 2**31 - 1), days=st.integers(1, 9), counts=st.tuples(*[st.integers(0, 4)] * len(Kind)))
@settings(max_examples=25, deadline=None)
def test_nothing_comes_from_nowhere_and_the_ledger_explains_every_difference(
    seed: int, days: int, counts: tuple[int, ...]
) -> None:
    people = people_of(seed, days, dict(zip(Kind, counts, strict=True)), skus=random.Random(seed).randint(1, 12))
    tally = Counter[tuple[str, str]]()  # kept here by the moves alone, beside the model
    while (next_ms := people.next_ms()) is not None:
        for deed in people.advance():
            assert deed.at_ms == next_ms
            for move in deed.moves:
                assert move.pieces > 0
                tally[move.origin, move.sku] -= move.pieces
                tally[move.destination, move.sku] += move.pieces
        if people.next_ms() == next_ms:  # the moment is not over: what is righted then may still be to come
            continue
        floor = people.scene.floor
        stock = floor.stock()
        assert stock == {key: pieces for key, pieces in tally.items() if pieces and key[0] != OUTSIDE}
        assert all(pieces > 0 for pieces in stock.values())
        assert all(floor.pieces(OUTSIDE, sku) == tally[OUTSIDE, sku] for sku in people.unit_weights_g)
        assert_ledger_explains(people, next_ms)
    inside = Counter[str]()
    for (_, sku), pieces in people.scene.floor.stock().items():
        inside[sku] += pieces
    assert all(inside[sku] + people.scene.floor.pieces(OUTSIDE, sku) == 0 for sku in people.unit_weights_g)
    assert not people.until(10**15)
    assert all(Counter(one.kind for one in people.ledger)[kind] <= people.story.mishaps[kind] for kind in Kind)


def test_every_kind_of_mishap_happens_and_is_what_it_is_called() -> None:
    seen = set[Kind]()
    for seed in range(6):
        people = people_of(seed, 12)
        for deed in told(people):
            mishap = deed.mishap
            if mishap is None:
                continue
            seen.add(mishap.kind)
            kinds = [one.kind for one in deed.bookings]
            (move,) = deed.moves if deed.moves else (None,)
            match mishap.kind:
                case Kind.MISSED_SCAN:
                    assert move is not None
                    assert (move.destination, move.pieces, kinds) == (OUTSIDE, mishap.pieces, [])
                case Kind.DOUBLE_IMPORT:
                    first, again = deed.bookings
                    assert first._replace(number=again.number) == again
                    assert first.id != again.id
                case Kind.THEFT:
                    assert move is not None
                    assert (move.destination, kinds) == (OUTSIDE, [])
                    assert deed.left == ((mishap.seal,) if mishap.is_read else ())
                    assert move.load is None or move.load.seal == mishap.seal
                case Kind.WRONG_BIN:
                    assert move is not None
                    assert (move.destination, deed.bookings[0].bin) == (mishap.other_bin, mishap.bin)
                    assert layout.zone_of(mishap.other_bin) == layout.zone_of(mishap.bin)
                case Kind.DEAD_SENSOR:
                    assert mishap.device in people.scene.dead
                    assert (move, kinds) == (None, [])
    assert seen == set(Kind)


def test_half_of_what_the_system_was_not_told_it_is_told_a_day_later() -> None:
    everything: list[Mishap] = []
    for seed in range(12):
        people = people_of(seed, 12, {Kind.MISSED_SCAN: 3, Kind.DOUBLE_IMPORT: 3})
        told(people)
        everything += people.ledger
        for one in people.ledger:
            if one.righted_ms is None:
                continue
            late = [one for one in people.stock_system.after(0, 10**6) if one.booked_ms > one.at_ms or one.cancels]
            assert one.righted_ms in [booking.booked_ms for booking in late]
    share = sum(one.righted_ms is not None for one in everything) / len(everything)
    assert 0.25 < share < 0.75


def test_goods_that_are_not_there_do_not_move() -> None:
    floor = Floor().moved(Move("A", 5, OUTSIDE, "R-01"))
    load = Load("SL1", "SOFA-3", ("t1", "t2"))
    floor = floor.moved(Move("SOFA-3", 2, OUTSIDE, "H-01", load))
    for impossible in (
        Move("A", 6, "R-01", OUTSIDE),
        Move("A", 1, "R-02", OUTSIDE),
        Move("A", 0, "R-01", OUTSIDE),
        Move("A", 1, "R-01", "R-01"),
        Move("SOFA-3", 2, "H-02", OUTSIDE, load),
        Move("SOFA-3", 1, "H-01", OUTSIDE, load),
        Move("SOFA-3", 2, OUTSIDE, "H-02", load),
        Move("SOFA-3", 2, "H-01", OUTSIDE),
    ):
        with pytest.raises(ImpossibleError):
            floor.moved(impossible)
    assert floor.stock() == {("R-01", "A"): 5, ("H-01", "SOFA-3"): 2}


# Sales


def test_the_dice_and_the_file_give_rows_of_one_kind(tmp_path: Path) -> None:
    (tmp_path / "sales.csv").write_text(
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
        "C536366,85123A,HOLDER,-2,2010-12-02 09:00:00,2.55,17850.0,United Kingdom\n"
        "536367,POST,POSTAGE,1,2010-12-01 08:30:00,18.00,12583.0,France\n"
        "536368,22139,damages,-5,2010-12-01 08:31:00,0.0,,United Kingdom\n"
        "536371,22139,CHECK,-4,2010-12-01 08:33:00,4.25,,United Kingdom\n"
        "536369,22139,TEA SET,3,2010-12-01 08:32:00,4.25,12583.0,France\n"
        "536370,22139,TEA SET,3,2010-12-04 08:32:00,4.25,12583.0,France\n",
        encoding="utf-8",
    )
    found = sales.of_file(tmp_path / "sales.csv", 3, 2)
    assert found == [
        Sale(30_360_000, "85123A", 6),
        Sale(30_720_000, "22139", 3),
        Sale(DAY_MS + 32_400_000, "85123A", -2),
    ]
    assert {sale.sku for sale in sales.of_file(tmp_path / "sales.csv", 3, 1)} == {"85123A"}
    for diced in sales.of_dice(1, 3, 5):
        assert (type(diced), [type(one) for one in diced]) == (Sale, [int, str, int])
    assert sales.a_day(found, 3) == {"22139": 1, "85123A": 2}


@needs(FOLDER)
def test_the_real_shops_sales_come_whole_into_the_story() -> None:
    found = sales.of_file(FILE, 14, 12)
    lines = csv.DictReader(gzip.decompress(FILE.read_bytes()).decode().splitlines())
    wanted = Counter[str]()
    for line in lines:
        is_early = line["InvoiceDate"] < "2010-12-15"
        if is_early and int(line["Quantity"]) > 0 and float(line["UnitPrice"]) > 0:
            wanted[line["StockCode"]] += int(line["Quantity"])
    skus = {one.sku for one in found}
    assert len(skus) == 12
    sold = Counter[str]()
    for one in found:
        sold[one.sku] += max(0, one.quantity)
    assert sold == {sku: wanted[sku] for sku in skus}
    people = People(Story(1, START_MS, 14, EVERY_KIND), found)
    deeds = told(people)
    assert_ledger_explains(people, people.story.end_ms)
    assert sum(one.kind == "sold" for deed in deeds for one in deed.bookings) > 800
    assert people.homes.keys() == skus


HEAD = "InvoiceNo,StockCode,Quantity,InvoiceDate,UnitPrice\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "it has no column InvoiceNo; there have to be InvoiceNo, StockCode, Quantity, InvoiceDate, UnitPrice"),
        (b"a,b\n1,2\n", "it has no column InvoiceNo"),
        (b"a,b\n", "it has no column InvoiceNo"),
        (HEAD.encode(), "it has these columns and no row; name another, or dice"),
        (f"{HEAD}1,85123A,6,2010-12-01 08:26:00,2.55\n2,85123A,six,2010-12-01,2\n".encode(), "line 3: invalid literal"),
        (f"{HEAD}1,85123A,6\n".encode(), "line 2: Invalid isoformat string: ''"),
        (f"{HEAD}1,85123A,6,2010-13-01,2.55\n".encode(), "line 2: "),
        (b"\xff\xfe", "'utf-8' codec can't decode"),
        (b"\x1f\x8b\x08", "Compressed file ended"),
    ],
)
def test_a_file_that_is_no_table_of_sales_is_refused_with_what_it_lacks(
    tmp_path: Path, data: bytes, words: str
) -> None:
    (tmp_path / "sales.csv").write_bytes(data)
    with pytest.raises(SalesError) as caught:
        sales.of_file(tmp_path / "sales.csv", 1, 1)
    assert str(caught.value).startswith(f"{tmp_path / 'sales.csv'}: is no table of sales as UCI Online Retail: {words}")


def test_the_real_shops_table_is_taken_where_it_is_beside_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sales, "__file__", str(tmp_path / "elsewhere" / "checkout" / "a" / "b" / "c" / "sales.py"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert sales.asked_for(None) is None
    assert sales.asked_for("own.csv") == tmp_path / "work" / "own.csv"
    beside_the_checkout, beside_the_work = tmp_path / "elsewhere", tmp_path
    for folder in (beside_the_checkout, beside_the_work):
        table = folder / "shared" / "data" / "retail-uci" / "online_retail.csv.gz"
        table.parent.mkdir(parents=True)
        table.write_bytes(b"")
        assert sales.asked_for(None) == table
    assert sales.asked_for("dice") is None


# Sensors, by the gateway's own readers


def asked_of(people: People, at_ms: int) -> Asked:
    return Asked(people.scene, people.unit_weights_g, at_ms, people.story.start_ms, people.story.seed)


def gateway_reads(message: Message) -> list[Value]:
    if message.topic.startswith("application/"):
        return list(chirpstack.read(message.topic, message.payload).values)
    if message.topic.startswith("zigbee2mqtt/"):
        return list(zigbee2mqtt.read("zigbee2mqtt", message.topic, message.payload))
    if message.topic.startswith(("tele/", "stat/")):
        return list(tasmota.read(message.topic, message.payload))
    return list(esphome.read(message.topic, message.payload))


def values_of(people: People, device: str, at_ms: int) -> dict[str, Value]:
    said = [value for message in sensors.messages(asked_of(people, at_ms), device) for value in gateway_reads(message)]
    assert {value.sensor for value in said} <= {device}
    return {value.field: value for value in said}


def test_the_gateways_readers_read_every_device_and_find_what_is_true() -> None:
    people = people_of(mishaps={})
    told(people)
    at_ms = people.story.end_ms + 14 * sales.HOUR_MS
    cold = values_of(people, layout.COLD_DEVICE, at_ms)
    weight_g = people.scene.floor.weight_g(COLD.bins, people.unit_weights_g)
    assert abs(float(str(cold["scale"].value)) * 1_000 - weight_g) <= sensors.SCALE_NOISE_G
    assert weight_g > 0
    assert -20 < float(str(cold["air"].value)) < -16
    hall = values_of(people, layout.HALL_DEVICE, at_ms)
    assert 20 < float(str(hall["AM2301.Temperature"].value)) < 24
    assert hall["Switch1.Action"].value == "OFF"
    for device, mean_c in ((layout.RACK_PROBE, 22), (layout.COLD_PROBE, -17.6)):
        probe = values_of(people, device, at_ms)
        assert abs(float(str(probe["temperature"].value)) - mean_c) < 1
        assert {value.at_ms for value in probe.values()} == {at_ms}
    assert values_of(people, layout.DOCK_DOOR, at_ms)["contact"].value is True


def test_a_delivery_opens_the_door_and_stirs_its_zone() -> None:
    people = people_of(mishaps={})
    delivered = next(one for one in told(people) if one.came and one.at_ms > START_MS)
    people = people_of(mishaps={})
    people.until(delivered.at_ms)
    assert values_of(people, layout.DOCK_DOOR, delivered.at_ms)["contact"].value is False
    assert values_of(people, layout.HALL_DEVICE, delivered.at_ms)["Switch1.Action"].value == "ON"
    assert values_of(people, layout.DOCK_DOOR, delivered.at_ms + sales.HOUR_MS)["contact"].value is True


def test_a_dead_device_says_nothing() -> None:
    people = people_of(mishaps={Kind.DEAD_SENSOR: 50})
    told(people)
    assert people.scene.dead == set(layout.MORTAL)
    asked = asked_of(people, people.story.end_ms)
    speakers = {device for one in sensors.CONNECTIONS for device in one.devices}
    assert {device for device in speakers if sensors.messages(asked, device)} == {layout.DOCK_DOOR}
    assert sensors.registers(asked) == {}
    assert sensors.tags_in_hall(people.scene) == []


def test_the_halls_reader_sees_each_carton_and_the_wall_in_lines_that_the_gateway_reads() -> None:
    people = people_of(mishaps={Kind.THEFT: 2})
    told(people)
    data = b"".join(map(sensors.line, sensors.tags_in_hall(people.scene)))
    lines = LineCutter().feed(data)
    tags = [value.value for line in lines for value in read_line(LineForm.TAGS, layout.HALL_READER, line)]
    cartons = sum(pieces for (place, _), pieces in people.scene.floor.stock().items() if place in HALL.bins)
    assert tags.count(layout.WALL_TAG) == 1
    assert len(set(tags)) == len(tags) == cartons + 1


async def test_the_gateway_reads_scale_meter_and_cooling_by_modbus(tmp_path: Path) -> None:
    people = people_of(mishaps={})
    told(people)
    at_ms = people.story.end_ms
    settings_ = gateway_settings(tmp_path, people, broker_port=None)
    async with modbus_tcp.converter(lambda: sensors.registers(asked_of(people, at_ms))) as port:
        heard = Heard()
        for one in settings_.modbus:
            source = ModbusSource(type(one)(**{**_fields(one), "port": port}), heard)
            await source._read_all()
            source._close()
    values = {(value.sensor, value.field): value.value for value in heard.values}
    weight_g = people.scene.floor.weight_g(RACKS.bins, people.unit_weights_g)
    assert weight_g > 10_000
    assert abs(int(str(values[layout.SCALE, "net"])) * 10 - weight_g) <= sensors.SCALE_NOISE_G + 10
    assert values[layout.METER, "energy"] == 4_200 * 24 * 6 // 100
    assert 4_000 <= int(str(values[layout.METER, "power"])) <= 4_400
    assert -190 < int(str(values[layout.COOLING, "actual"])) < -170
    assert heard.complaints == []


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def test_the_converter_refuses_what_is_not_there_as_the_protocol_has_it() -> None:
    assert modbus_tcp.answered(bytes.fromhex("0300000001"), None) == bytes([0x83, 11])
    refused = [modbus_tcp.answered(bytes.fromhex(one), {0: 1}) for one in ("0600000001", "0300000002", "03000000")]
    assert refused == [bytes([0x86, 1]), bytes([0x83, 2]), bytes([0x83, 3])]
    assert modbus_tcp.answered(bytes.fromhex("0300000002"), {0: 0x1234, 1: 0x5678}) == bytes.fromhex("030412345678")


def test_packets_are_those_of_the_protocol() -> None:
    will = Message("a/status", b"offline", retain=True)
    assert connect("a", will).hex() == (
        "1020" + "00044d515454" + "04" + "26" + "0000" + "000161" + "0008612f737461747573" + "00076f66666c696e65"
    )
    assert publish(Message("a/b", b"x", retain=True)).hex() == "3106" + "0003612f62" + "78"
    assert publish(Message("a", b"x" * 200))[:3].hex() == "30cb01"


async def test_devices_are_heard_through_a_broker_and_one_that_is_cut_is_known_to_be_gone(tmp_path: Path) -> None:
    people = people_of(mishaps={})
    told(people)
    asked = asked_of(people, people.story.end_ms)
    with running_broker("amqtt", tmp_path / "broker") as broker:
        heard = Heard()
        forms = (Form.ESPHOME, Form.TASMOTA, Form.ZIGBEE2MQTT, Form.CHIRPSTACK)
        source = MqttSource(
            MqttSettings(name="hall", broker=BrokerSettings(host="127.0.0.1", port=broker.port), forms=forms),
            "site-la-3.hall",
            heard,
        )
        listening = asyncio.create_task(source.run())
        await until(lambda: source._client is not None, "the gateway to listen")
        devices = [MqttDevice(one.client, "127.0.0.1", broker.port, one.will) for one in sensors.CONNECTIONS]
        for device, connection in zip(devices, sensors.CONNECTIONS, strict=True):
            for one in connection.devices:
                await device.say(sensors.messages(asked, one))
        every = {layout.COLD_DEVICE, layout.HALL_DEVICE, layout.DOCK_DOOR, layout.RACK_PROBE, layout.COLD_PROBE}
        await until(lambda: {value.sensor for value in heard.values} == every, "every device")
        assert all(value.quality == Quality.GOOD for value in heard.values)
        devices[0].cut()
        await until(lambda: heard.values[-1].quality == Quality.SENSOR_GONE, "the last will")
        assert heard.values[-1].sensor == layout.COLD_DEVICE
        assert heard.complaints == []
        for device in devices:
            device.cut()
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


# The stock system's forms, by the cloud's own readers

PART = setting.book_part(people_of(mishaps={}).unit_weights_g, 900)


def read(form: str, data: bytes) -> Report:
    from pledgewatch_cloud.decide.item import Item  # noqa: PLC0415

    source = READERS["stock_sources"](Item("stock_sources[0]", PART["stock_sources"][0]))
    report = intake.read(source.terms, form, data, source.mapping)
    assert report.faults == ()
    found = intake.admitted(source.terms, report, StockBook(), START_MS + 30 * DAY_MS)
    assert found.faults == ()
    return found


def on_hand(people: People) -> dict[StockKey, int]:
    return {
        StockKey(layout.WAREHOUSE, owner, sku, place, "EA"): pieces * 1_000
        for (owner, place, sku), pieces in people.stock_system.on_hand().items()
    }


def counted(book: StockBook) -> dict[StockKey, int]:
    return {key: milli for key in book.known_keys() if (milli := book.on_hand_milli(key))}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_json_and_csv_add_up_in_the_clouds_stock_book_to_what_the_system_believes(seed: int) -> None:
    people = people_of(seed, 12)
    told(people)
    bookings = people.stock_system.after(0, 10**6)
    assert any(one.cancels for one in bookings) or seed != 1
    forms = {
        "json": json_document(people, people.story.end_ms),
        "csv": stock_forms.csv_document(bookings),
    }
    for form, data in forms.items():
        book = StockBook().taken(read(form, data))
        assert counted(book) == on_hand(people), form
        assert sum(one.unreconciled for key in book.known_keys() for one in book.periods(key, "day")) == 0, form
        assert book.taken(book.fresh(read(form, data))) == book, form


def test_x12_says_what_came_what_went_and_what_there_is(tmp_path: Path) -> None:
    people = people_of(3, 8)
    drop = Drop(tmp_path, people.stock_system, people.story.start_ms)
    deeds: list[Deed] = []
    for day in range(1, 9):
        midnight_ms = people.story.start_ms + day * DAY_MS
        deeds += people.until(midnight_ms - 1)
        assert len(drop.write_until(midnight_ms)) == 2
    reports = [read("x12", path.read_bytes()) for path in sorted((tmp_path / "x12").iterdir())]
    rows = [row for one in reports for row in one.rows]
    bookings = [one for deed in deeds for one in deed.bookings if one.kind]
    kinds = {"sold": "shipped"}
    assert sorted((row.at_ms // 1_000, row.kind, row.key.sku, row.quantity_milli) for row in rows) == sorted(
        (one.at_ms // 1_000, kinds.get(one.kind, one.kind), one.sku, one.pieces * 1_000) for one in bookings
    )
    book = StockBook()
    for one in reports:
        book = book.taken(one)
    assert counted(book) == on_hand(people)
    tables = [read("csv", path.read_bytes()) for path in sorted((tmp_path / "csv").iterdir())]
    assert sum(len(one.rows) for one in tables) == people.stock_system.newest
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_a_booking_that_is_cancelled_counts_no_longer() -> None:
    people = people_of(mishaps={})
    system = people.stock_system
    kept = system.book(Booking("received", START_MS, START_MS, layout.DEPOSITOR, "SOFA-3", "H-01", 6))
    assert system.on_hand() == {(layout.DEPOSITOR, "H-01", "SOFA-3"): 6}
    system.book(Booking("", START_MS, START_MS, cancels=kept.id))
    assert system.on_hand() == {}


async def test_the_stock_systems_feed_goes_on_from_a_number_and_wants_its_token() -> None:
    people = people_of(mishaps={})
    told(people)
    app = create_wms(people.stock_system, lambda: people.story.end_ms, "tok-en")
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://wms") as client:
        assert (await client.get("/movements")).status_code == 401
        assert (await client.get("/movements", headers={"authorization": "Bearer other"})).status_code == 401
        client.headers["authorization"] = "Bearer tok-en"
        after, ids = "0", []
        while True:
            answer = (await client.get("/movements", params={"after": after, "limit": 100})).json()
            if not answer["movements"]:
                break
            ids += [one["id"] for one in answer["movements"]]
            after = answer["next"]
        assert ids == [f"M-{number:06d}" for number in range(1, people.stock_system.newest + 1)]
        assert answer["next"] == after
        snapshot = (await client.get("/snapshot", params={"owner": layout.DEPOSITOR})).json()
        report = read("json", json.dumps({"snapshots": [snapshot]}).encode())
        wanted = {key: milli for key, milli in on_hand(people).items() if key.owner == layout.DEPOSITOR}
        assert {row.key: row.quantity_milli for row in report.snapshots[0].rows} == wanted


# What gateway and book are told


GATEWAY = """
[gateway]
operator = "harbour-line"
name = "site-la-3"
state_folder = "state"
[broker]
host = "127.0.0.1"
port = 1
"""


def gateway_settings(folder: Path, people: People, broker_port: int | None) -> Any:
    ports = ("/dev/gate", "/dev/dock", "/dev/hall")
    part = setting.gateway_part(setting.Addresses(broker_port, 1_502, *ports), 1.0)
    file = folder / "gateway.toml"
    file.write_text(GATEWAY + part, encoding="utf-8")
    return load(file)


def test_the_roster_has_a_row_for_all_that_is_said_but_signs_of_life(tmp_path: Path) -> None:
    people = people_of(mishaps={})
    told(people)
    roster = Roster(gateway_settings(tmp_path, people, 1_883).sensors)
    asked = asked_of(people, people.story.end_ms)
    unused = set[str]()
    for connection in sensors.CONNECTIONS:
        for device in connection.devices:
            for message in sensors.messages(asked, device):
                for value in gateway_reads(message):
                    rows = roster.rows_of(setting.LAN, value)
                    if not rows:
                        unused.add(f"{value.sensor}.{value.field}")
                    for row in rows:
                        assert row.cell(value).quality == Quality.GOOD
                        assert row.channel != "door_open" or row.cell(value).value == 0
    assert unused == {
        f"{layout.DOCK_DOOR}.battery",
        f"{layout.DOCK_DOOR}.linkquality",
        f"{layout.COLD_PROBE}.humidity",
        f"{layout.COLD_PROBE}.battery",
    }
    (counted_row,) = (row for row in roster.rows if row.channel == "tags_present")
    assert (counted_row.source, counted_row.own_tags) == (layout.HALL_READER, (layout.WALL_TAG,))
    hall = next(zone for zone in PART["warehouses"][0]["zones"] if zone["asset"] == HALL.asset)
    assert hall["pieces_tolerance"] == 0, "nothing is counted but cartons"
    said = {(row.source, row.field) for row in roster.rows}
    assert {("rack-scale", "net"), ("gate-reader", "tag"), ("hall-reader", "tag")} <= said


# The program


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "pledgewatch_sim", "warehouse", "--folder", "wh"]
    arguments = ["--seed", "5", "--days", "3", "--missed-scans", "1", "--every", "0.2", "--sales", "dice"]
    process = subprocess.Popen(
        [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def said_by(port: int) -> bytes:
    """What is said next on an open port."""
    assert select.select([port], [], [], 20)[0], "nothing is said"
    return os.read(port, 4_096)


def test_the_program_says_where_it_is_and_a_theft_can_be_had(warehouse: subprocess.Popen[str], tmp_path: Path) -> None:
    assert warehouse.stdout is not None
    addresses = json.loads(warehouse.stdout.readline())
    assert addresses["sales"] == "dice"
    assert all(Path(addresses[name]).is_absolute() for name in ("gate-reader", "gateway_part", "drop", "truth"))
    feed = httpx2.get(f"{addresses['wms']}/movements", timeout=10).json()
    assert feed["movements"][0]["id"] == "M-000001"
    assert len(list(Path(addresses["drop"]).rglob("*.edi"))) == 2, "all of the past is there"
    (tmp_path / "gateway.toml").write_text(GATEWAY + Path(addresses["gateway_part"]).read_text(encoding="utf-8"))
    assert load(tmp_path / "gateway.toml").serial[0].port == Path(addresses["gate-reader"])
    gate, hall = (os.open(addresses[name], os.O_RDONLY | os.O_NOCTTY) for name in ("gate-reader", "hall-reader"))
    try:
        seen = LineCutter().feed(said_by(hall))
        assert b"WALL-HALL" in seen  # sensors speak once the past is told
        warehouse.send_signal(signal.SIGUSR1)
        left = LineCutter().feed(said_by(gate))
    finally:
        os.close(gate)
        os.close(hall)
    stolen = [json.loads(line) for line in Path(addresses["truth"]).read_text(encoding="ascii").splitlines()]
    assert (stolen[-1]["kind"], stolen[-1]["is_read"]) == ("theft", True)
    assert [tag_name(one.decode()) for one in left] == [stolen[-1]["seal"]]
    warehouse.send_signal(signal.SIGTERM)
    assert warehouse.wait(20) == 0
    assert not Path(addresses["gate-reader"]).exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--speed", "0.5"), "the past catches up above 1 only"),
        (("--days", "2", "--past-days", "3"), "3 days of the past are more than the 2 of the story"),
        (("--sales", "none.csv"), "none.csv cannot be used: No such file or directory"),
    ],
)
def test_what_cannot_be_is_said_with_its_cure(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    command = [sys.executable, "-m", "pledgewatch_sim", "warehouse", "--folder", str(tmp_path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_past_runs_fast_and_never_ahead_of_the_machines_clock(tmp_path: Path) -> None:
    options = program.WarehouseOptions(folder=tmp_path, days=2, past_days=2, speed=1_000.0)
    story = Story(1, START_MS, 2)
    now_ms = START_MS + 2 * DAY_MS
    clock = program._clock(story, options, now_ms)
    real_ms = now_ms
    moving = type(clock)(clock.start_ms, clock.speed, clock.anchor_ms, clock.end_ms, lambda: real_ms)
    assert moving.now_ms() == START_MS
    for real_ms in range(now_ms, now_ms + 400_000, 7_001):
        assert moving.now_ms() <= real_ms + 1
    assert abs(moving.now_ms() - real_ms) <= 1


def test_the_brokers_address_is_left_out_where_there_is_none(tmp_path: Path) -> None:
    people = people_of(mishaps={})
    assert gateway_settings(tmp_path, people, None).mqtt == ()
    assert gateway_settings(tmp_path, people, 1_883).mqtt[0].broker.port == 1_883
