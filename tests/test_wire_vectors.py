"""docs/WIRE.md against the code: its vectors, its channels, its qualities."""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

from builders import Device
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_wire import care, chain, payload_pb2
from pledgewatch_wire.codec import (
    Checkpoint,
    Committed,
    Payload,
    Status,
    decode,
    decode_committed,
    decode_status,
    encode,
    encode_committed,
    encode_status,
)
from pledgewatch_wire.reading import Cell, Channel, Clock, Quality, Reading

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "WIRE.md").read_text(encoding="utf-8")
_BLOCK = re.search(r"```json vectors\n(.*?)\n```", PAGE, re.DOTALL)
assert _BLOCK is not None
VECTORS: dict[str, Any] = json.loads(_BLOCK.group(1))
READINGS = tuple(
    Reading(one["sequence"], one["measured_at_ms"], Clock(one["clock"]), tuple(Cell(*cell) for cell in one["cells"]))
    for one in VECTORS["readings"]
)


def test_canonical_form_leaves_and_chain() -> None:
    assert [chain.canonical(one).hex() for one in READINGS] == VECTORS["canonical"]
    assert [chain.leaf(one).hex() for one in READINGS] == VECTORS["leaves"]
    running = chain.genesis(VECTORS["device"], VECTORS["epoch"])
    assert running.hex() == VECTORS["genesis"]
    for one in READINGS:
        running = chain.extend(running, chain.leaf(one))
    assert running.hex() == VECTORS["chain_hash"]


def test_checkpoint_signature() -> None:
    device = Device(VECTORS["device"], epoch=VECTORS["epoch"], seed=VECTORS["private_key_byte"])
    assert device.public_key == VECTORS["public_key"]
    last, running = READINGS[-1].sequence, bytes.fromhex(VECTORS["chain_hash"])
    signature = chain.sign(device.key, device.name, device.epoch, last, running)
    assert signature.hex() == VECTORS["checkpoint_signature"]
    key = chain.public_key(VECTORS["public_key"])
    assert chain.verifies(key, device.name, device.epoch, last, running, signature)
    for wrong in ((device.name, device.epoch, last - 1), (device.name, 4, last), ("container-8", device.epoch, last)):
        assert not chain.verifies(key, *wrong, running, signature)


def test_payloads() -> None:
    live = bytes.fromhex(VECTORS["live_payload"])
    assert decode(live) == Payload(VECTORS["epoch"], READINGS[:1])
    assert encode(Payload(VECTORS["epoch"], READINGS[:1])) == live
    checkpoint = Checkpoint(READINGS[-1].sequence, bytes.fromhex(VECTORS["checkpoint_signature"]))
    whole = Payload(VECTORS["epoch"], READINGS, (checkpoint,))
    assert decode(bytes.fromhex(VECTORS["payload"])) == whole
    assert encode(whole).hex() == VECTORS["payload"]
    assert len(live) <= 40, "one live reading stays small"


def test_committed_and_status() -> None:
    chain_mark = bytes.fromhex(VECTORS["chain_hash"])[:8]
    committed = Committed(3, 8_600, ((8_610, 8_641),), chain_mark, (bytes.fromhex(VECTORS["leaves"][0])[:8],))
    status = Status(
        online=True,
        epoch=3,
        head_sequence=4,
        spooled_readings=4,
        agent_version="0.1.0",
        dropped_readings=7,
        held_back_readings=2,
        refused_readings=5_000,
    )
    assert encode_committed(committed).hex() == VECTORS["committed"]
    assert decode_committed(bytes.fromhex(VECTORS["committed"])) == committed
    assert encode_status(status).hex() == VECTORS["status"]
    assert decode_status(bytes.fromhex(VECTORS["status"])) == status


def test_settings_commands_and_answers() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes([VECTORS["private_key_byte"]]) * 32)
    names, times = ("harbour-line", VECTORS["device"]), (1_767_268_800_000, 1_769_860_800_000)
    desired = care.Desired(*names, 3, *times, "[uplink]\nsend_every_s = 900\n")
    command = care.Command(*names, 5, times[0], 1_767_355_200_000, care.What.RESEND_RANGE, epoch=3, first=2, last=4)
    answer = care.Answer(0, 5, care.Became.DONE, "3 of 3 are here and are sent again")
    assert care.sign_settings(desired, key).hex() == VECTORS["settings"]
    assert care.read_settings(bytes.fromhex(VECTORS["settings"]), key.public_key()) == desired
    assert care.sign_command(command, key).hex() == VECTORS["command"]
    assert care.read_command(bytes.fromhex(VECTORS["command"]), key.public_key()) == command
    assert care.encode_answer(answer).hex() == VECTORS["answer"]
    assert care.decode_answer(bytes.fromhex(VECTORS["answer"])) == answer


def test_no_message_of_one_topic_says_anything_on_another() -> None:
    def numbers(name: str) -> set[int]:
        return {one.number for one in payload_pb2.DESCRIPTOR.message_types_by_name[name].fields}

    names = ("Payload", "Committed", "Status", "Signed", "Desired", "Command", "Answer")
    for one, other in combinations(names, 2):
        both = numbers(one) & numbers(other)
        assert both <= ({15} if (one, other) == ("Payload", "Committed") else set()), (one, other)


def test_the_page_names_every_channel_quality_and_clock() -> None:
    for channel in Channel:
        name = channel.name.lower()
        assert f"`{name}`" in PAGE or re.fullmatch(r"(temperature|weight)_[2-6]_(mc|g)", name), (
            f"docs/WIRE.md does not name {name}"
        )
    for quality in Quality:
        assert f"{quality.value} `{quality.name.lower()}`" in PAGE, f"docs/WIRE.md does not name {quality.name}"
