"""Modbus TCP: the bytes of the protocol's own examples, a slave that misbehaves, and devices that come and go."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from edge_support import until
from heard import Heard
from modbus_slave import Slave, Spoil, slave

from pledgewatch_edge.modbus_client import ModbusClient, ModbusLostError, ModbusRefusedError, over_tcp
from pledgewatch_edge.registers import Register, Table, Type, WordOrder
from pledgewatch_edge.registers import number_of as number
from pledgewatch_gateway.sources import Value, gone
from pledgewatch_gateway.sources.modbus import ModbusSettings, ModbusSource, RegisterSettings
from pledgewatch_wire.reading import Quality


@contextlib.asynccontextmanager
async def connected(one: Slave, timeout_s: float = 0.5) -> AsyncIterator[ModbusClient]:
    client = await ModbusClient.open(lambda: over_tcp("127.0.0.1", one.port, timeout_s), one.unit, timeout_s)
    try:
        yield client
    finally:
        client.close()


async def test_what_is_asked_are_the_bytes_that_the_protocol_prints() -> None:
    # MODBUS Application Protocol V1.1b3, 6.1 to 6.6; a printed address is one more than the one that is sent.
    async with slave(unit=17) as one, connected(one) as client:
        one.coils, one.discrete = {0x13: True, 0xAC: False}, {0xC4: True}
        one.holding, one.inputs = {0x6B: 0x022B, 0x6C: 0x0102, 1: 0}, {8: 0x0A}
        assert await client.read_bit(Register(address=0x13, table=Table.COIL)) is True
        assert await client.read_bit(Register(address=0xC4, table=Table.DISCRETE)) is True
        assert await client.read_words(Register(address=0x6B, type=Type.INT32)) == bytes.fromhex("022b0102")
        assert await client.read_words(Register(address=8, table=Table.INPUT)) == bytes.fromhex("000a")
        await client.write_coil(0xAC, is_on=True)
        await client.write_register(1, 3)
        assert (one.coils[0xAC], one.holding[1]) == (True, 3)
    assert [request.hex() for request in one.requests] == [
        "110100130001",
        "110200c40001",
        "1103006b0002",
        "110400080001",
        "110500acff00",
        "110600010003",
    ]


async def test_a_refusal_is_understood_and_the_connection_goes_on() -> None:
    async with slave() as one, connected(one) as client:
        one.holding[5] = 7
        with pytest.raises(ModbusRefusedError, match=r"it has no such address \(exception 2\)"):
            await client.read_words(Register(address=4, type=Type.INT32))
        with pytest.raises(ModbusRefusedError, match="exception 2"):
            await client.write_coil(9, is_on=True)
        assert await client.read_words(Register(address=5)) == b"\x00\x07"
        assert one.connections == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda answer: b"\x77" + answer[1:], "no answer in time"),
        (lambda answer: answer[:2] + b"\x00\x01" + answer[4:], "no answer in time"),
        (lambda answer: answer[:6] + b"\x09" + answer[7:], "no answer in time"),
        (lambda answer: answer[:4] + b"\x00\x01" + answer[6:], "no answer in time"),
        (lambda answer: answer[:4] + b"\xff\xff" + answer[6:], "no answer in time"),
        (lambda answer: answer[:7] + b"\x04" + answer[8:], "answers function 4"),
        (lambda answer: answer[:4] + b"\x00\x07" + answer[6:8] + b"\x04\x00\x01\x00\x02", "2 registers where 1"),
        (lambda answer: answer[:8] + b"\x04" + answer[9:], "hung up"),
        (lambda answer: answer[:4] + b"\x00\x04" + answer[6:10], "hung up"),
        (lambda answer: answer[:4] + b"\x00\x03" + answer[6:7] + b"\x84\x02", "answers function 132"),
        (lambda answer: answer[:9], "no answer in time"),
        (lambda _: b"", "no answer in time"),
        (lambda _: None, "hung up"),
    ],
)
async def test_what_is_no_answer_ends_the_connection(spoil: Spoil, words: str) -> None:
    async with slave() as one, connected(one, 0.2) as client:
        one.holding[0] = 1
        one.spoil = spoil
        with pytest.raises(ModbusLostError, match=words):
            await client.read_words(Register(address=0))


async def test_an_echo_of_something_else_is_no_switching() -> None:
    async with slave() as one, connected(one) as client:
        one.coils[0] = False
        one.spoil = lambda answer: answer[:-2] + b"\x00\x00"
        with pytest.raises(ModbusLostError, match="written something else"):
            await client.write_coil(0, is_on=True)


@pytest.mark.parametrize(
    ("kind", "order", "data", "expected"),
    [
        (Type.INT16, WordOrder.HIGH_FIRST, "ff4e", "-178"),
        (Type.UINT16, WordOrder.HIGH_FIRST, "ff4e", "65358"),
        (Type.INT32, WordOrder.HIGH_FIRST, "fffe1dc0", "-123456"),
        (Type.INT32, WordOrder.LOW_FIRST, "1dc0fffe", "-123456"),
        (Type.UINT32, WordOrder.HIGH_FIRST, "fffe1dc0", "4294843840"),
        (Type.FLOAT32, WordOrder.HIGH_FIRST, "c1920000", "-18.25"),
        (Type.FLOAT32, WordOrder.LOW_FIRST, "cccd4144", "12.3"),
        (Type.FLOAT32, WordOrder.HIGH_FIRST, "7fc00000", None),
        (Type.FLOAT32, WordOrder.HIGH_FIRST, "ff800000", None),
        (Type.UINT64, WordOrder.LOW_FIRST, "0001000200030004", "1125912791875585"),
        (Type.FLOAT64, WordOrder.HIGH_FIRST, "40091eb851eb851f", "3.14"),
        (Type.INT16, WordOrder.HIGH_FIRST, "8000", None),
    ],
)
def test_registers_are_numbers_by_their_type(kind: Type, order: WordOrder, data: str, expected: str | None) -> None:
    register = RegisterSettings(name="x", address=0, type=kind, word_order=order, absent=-32_768)
    assert len(bytes.fromhex(data)) == 2 * register.words
    assert number(register, bytes.fromhex(data)) == (None if expected is None else Decimal(expected))


REGISTERS = (
    RegisterSettings(name="air", address=0),
    RegisterSettings(name="total", address=10, type=Type.UINT32, table=Table.INPUT),
    RegisterSettings(name="missing", address=99),
    RegisterSettings(name="door", address=3, table=Table.DISCRETE),
)


def settings(port: int, **changes: object) -> ModbusSettings:
    told = {"interval_s": 0.05, "timeout_s": 0.5, "registers": REGISTERS, **changes}
    return ModbusSettings(name="scale", host="127.0.0.1", port=port, **told)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def reading(port: int, heard: Heard, **changes: object) -> AsyncIterator[ModbusSource]:
    source = ModbusSource(settings(port, **changes), heard)
    task = asyncio.create_task(source.run())
    try:
        yield source
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_register_that_is_not_there_keeps_no_other_from_being_read() -> None:
    heard = Heard()
    async with slave() as one:
        one.holding[0], one.inputs, one.discrete[3] = 0xFF4E, {10: 1, 11: 2}, True
        async with reading(one.port, heard):
            await until(lambda: len(heard.values) >= 8, "two rounds")
        assert heard.values[:4] == [
            Value("scale", "air", Decimal(-178)),
            Value("scale", "total", Decimal(65_538)),
            Value("scale", "missing", None, None, Quality.NOT_REPORTED),
            Value("scale", "door", value=True),
        ]
        assert one.connections == 1
    assert set(heard.complaints) == {("missing", "it has no such address (exception 2)")}


async def test_a_device_that_goes_is_gone_and_one_that_comes_back_is_read(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    heard = Heard()
    async with slave() as one:
        one.holding[0], one.inputs, one.discrete[3], port = 1, {10: 0, 11: 9}, False, one.port
        async with reading(port, heard):
            await until(lambda: len(heard.values) >= 4, "a round")
            one.spoil = lambda _: None
            await until(lambda: gone("scale", "door") in heard.values, "the word that it is gone")
            heard.values.clear()
            one.spoil = lambda answer: answer
            await until(lambda: Value("scale", "air", Decimal(1)) in heard.values, "it to be back")
    said = [one.getMessage() for one in caplog.records if "modbus device scale" in one.getMessage()]
    assert [line.split(" reason")[0] for line in said] == ["modbus device scale lost", "modbus device scale back"]


async def test_a_device_that_hangs_up_between_two_rounds_is_never_gone() -> None:
    heard, registers = Heard(), (RegisterSettings(name="air", address=0),)
    async with slave() as one:
        one.holding[0] = 7
        async with reading(one.port, heard, registers=registers, interval_s=0.2):
            for rounds in range(1, 5):
                await until(lambda: len(heard.values) >= rounds, "a round")  # noqa: B023 - waited for at once
                one.hang_up()
        assert one.connections >= 4
    assert set(heard.values) == {Value("scale", "air", Decimal(7))}


async def test_a_switch_is_set_between_two_registers_by_the_same_connection() -> None:
    heard = Heard()
    async with slave() as one:
        one.holding, one.inputs, one.discrete, one.coils = {0: 0, 7: 0}, {10: 0, 11: 0}, {3: False}, {2: False}
        async with reading(one.port, heard) as source:
            await until(lambda: len(heard.values) >= 4, "a round")
            await source.write_coil(2, is_on=True)
            await source.write_register(7, 300)
            assert (one.coils, one.holding[7], one.connections) == ({2: True}, 300, 1)
            with pytest.raises(ModbusRefusedError):
                await source.write_coil(3, is_on=True)
            await source.write_coil(2, is_on=False)
            assert (one.coils, one.connections) == ({2: False}, 1)


async def test_a_switch_of_a_device_that_is_not_there_says_so() -> None:
    source = ModbusSource(settings(1, registers=()), Heard())
    with pytest.raises(ModbusLostError):
        await source.write_coil(2, is_on=True)
