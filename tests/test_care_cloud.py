"""Remote care in the cloud: who may ask what of a device, what is remembered, what is said to it and how long."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import ApiCloud, assert_problem, shown
from builders import Device, ManualClock, book_document
from caring import CARE_KEY

from pledgewatch_cloud.access.identify import sha256_of
from pledgewatch_cloud.decide import book, drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.admission import Refusal
from pledgewatch_cloud.decide.care import COMMANDS_KEPT, OPEN_MAX
from pledgewatch_cloud.decide.identity_book import Identity, IdentityBook
from pledgewatch_cloud.identity.carer import Carer
from pledgewatch_cloud.ingest.caring import Caring
from pledgewatch_cloud.ingest.decode import Decoder, DeviceAnswer, DeviceStatus
from pledgewatch_cloud.ingest.subscriber import Message, SubscriberCounts
from pledgewatch_cloud.replay import replay
from pledgewatch_wire.care import (
    RESULT_MAX,
    Answer,
    Became,
    What,
    encode_answer,
    pack_result,
    read_command,
    read_settings,
)
from pledgewatch_wire.codec import Status, encode_status

DEVICE, OPERATOR = "container-1", "harbour-line"
SLOWER = "[uplink]\nsend_every_s = 900\n"
NOW_MS, HOUR_MS = 1_772_366_400_000, 3_600_000
SETTINGS_TOPIC, COMMAND_TOPIC = (f"pw/1/{OPERATOR}/{DEVICE}/{kind}" for kind in ("settings", "command"))
PUBLIC = CARE_KEY.public_key()


class Broker:
    """Takes what is published, while it is there."""

    def __init__(self) -> None:
        self.connected, self.counts, self.full = True, SubscriberCounts(connections=1), False
        self.published: list[tuple[str, bytes, bool]] = []

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        if not self.full:
            self.published.append((topic, payload, retain))
        return not self.full

    def taken(self) -> list[tuple[str, bytes, bool]]:
        found, self.published = self.published, []
        return found


class Care:
    """The API and what speaks to devices, over one store; the world's clock is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.world = ManualClock(NOW_MS)
        self.api = ApiCloud(folder, delivery_clock=self.world)
        self.api.spine.commit(drafts.amend, book_document(self.api.device))
        object.__setattr__(self.api.client.app.state.service, "carer", Carer(CARE_KEY, self.world))
        self.broker = Broker()
        self.caring = self.again()

    def again(self) -> Caring:
        """As after a start."""
        return Caring(self.broker, self.api.writer, self.world)  # type: ignore[arg-type]

    def post(self, what: str, body: dict[str, Any], device: str = DEVICE) -> Any:
        return self.api.client.post(f"/devices/{device}/{what}", json=body)

    def asked(self, what: str, body: dict[str, Any]) -> Any:
        answer = self.post(what, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def shown(self) -> Any:
        return self.api.get(f"/devices/{DEVICE}")

    def hear(self, answer: Answer) -> None:
        asyncio.run(self.caring.heard(DeviceAnswer(OPERATOR, DEVICE, answer)))

    def said(self) -> list[tuple[str, bytes, bool]]:
        asyncio.run(self.caring.look())
        return self.broker.taken()


@pytest.fixture
def care(tmp_path: Path) -> Iterator[Care]:
    one = Care(tmp_path)
    yield one
    one.api.close()


def test_settings_are_signed_retained_and_taken_back_when_answered(care: Care) -> None:
    assert care.asked("settings", {"toml": SLOWER, "by": "night desk"}) == {
        "device": DEVICE,
        "changed": True,
        "version": 1,
    }
    ((topic, payload, retain),) = care.said()
    desired = read_settings(payload, PUBLIC)
    assert (topic, retain) == (SETTINGS_TOPIC, True)
    assert desired == (OPERATOR, DEVICE, 1, NOW_MS, NOW_MS + 720 * HOUR_MS, SLOWER)
    assert care.said() == []
    care.hear(Answer(1, 0, Became.TAKEN, "on trial"))
    assert care.shown()["settings"]["became"] == "taken"
    assert care.said() == []
    care.hear(Answer(1, 0, Became.DONE, "in force"))
    assert care.said() == [(SETTINGS_TOPIC, b"", True)]
    found = care.shown()["settings"]
    assert (found["became"], found["said"], found["by"], found["toml"]) == ("done", "in force", "night desk", SLOWER)


def test_settings_that_are_postponed_stay_at_the_broker_until_they_are_decided_about(care: Care) -> None:
    care.asked("settings", {"toml": SLOWER})
    ((_, payload, _),) = care.said()
    care.hear(Answer(1, 0, Became.POSTPONED, "the disk does not take it"))
    assert care.said() == [], "a device that starts again finds them there"
    assert care.shown()["settings"]["became"] == "postponed"
    assert care.asked("settings", {"toml": SLOWER})["changed"] is False
    assert asyncio.run(care.again().look()) is None
    assert care.broker.taken() == [(SETTINGS_TOPIC, payload, True)]
    for one in (Became.TAKEN, Became.POSTPONED):
        care.hear(Answer(1, 0, one, "on trial, or another disk"))
    assert care.shown()["settings"]["became"] == "taken"
    care.hear(Answer(1, 0, Became.DONE, "in force"))
    assert care.said() == [(SETTINGS_TOPIC, b"", True)]


def test_the_same_settings_are_asked_for_once_and_again_when_they_were_refused(care: Care) -> None:
    care.asked("settings", {"toml": SLOWER})
    assert care.asked("settings", {"toml": SLOWER}) == {"device": DEVICE, "changed": False, "version": None}
    care.hear(Answer(1, 0, Became.REFUSED, "rolled back: the cloud was not heard"))
    assert care.asked("settings", {"toml": SLOWER})["version"] == 2
    assert read_settings(care.said()[-1][1], PUBLIC).version == 2


def test_settings_that_were_done_may_be_left_aside_and_are_sent_again_then(care: Care) -> None:
    """The device says so once; that it had them in force, or is asked to have them, changes it no more."""
    care.asked("settings", {"toml": SLOWER})
    care.hear(Answer(1, 0, Became.DONE, "in force"))
    for one in (Became.REFUSED, Became.TAKEN, Became.POSTPONED):
        care.hear(Answer(1, 0, one, "an answer of before"))
    assert care.shown()["settings"]["became"] == "done"
    assert care.asked("settings", {"toml": SLOWER})["changed"] is False
    care.hear(Answer(1, 0, Became.LEFT_ASIDE, "left aside, as the station ended 5 times with them"))
    for one in Became:
        care.hear(Answer(1, 0, one, "an answer of before"))
    found = care.shown()["settings"]
    assert (found["became"], found["said"]) == ("left_aside", "left aside, as the station ended 5 times with them")
    assert care.asked("settings", {"toml": SLOWER})["version"] == 2
    assert read_settings(care.said()[-1][1], PUBLIC).version == 2


def test_a_command_that_is_done_cannot_be_left_aside(care: Care) -> None:
    care.asked("commands", {"what": "report_now"})
    for one in (Became.DONE, Became.LEFT_ASIDE):
        care.hear(Answer(0, 1, one, "of it"))
    assert care.shown()["commands"][0]["became"] == "done"


def test_a_command_is_said_again_when_its_device_comes_online_and_not_once_it_is_answered(care: Care) -> None:
    assert care.asked("commands", {"what": "resend_range", "epoch": 2, "first": 5, "last": 9})["id"] == 1
    ((topic, payload, retain),) = care.said()
    command = read_command(payload, PUBLIC)
    assert (topic, retain, command.what, command[7:9]) == (COMMAND_TOPIC, False, What.RESEND_RANGE, (5, 9))
    online = [
        DeviceStatus(
            OPERATOR, DEVICE, Status(online=True, epoch=1, head_sequence=0, spooled_readings=0, agent_version="0")
        )
    ]
    assert care.said() == []
    care.caring.connected(online)
    assert care.said() == [(COMMAND_TOPIC, payload, False)]
    care.caring = care.again()  # after a restart of the cloud: nobody knows what the broker had
    assert care.said() == [(COMMAND_TOPIC, payload, False)]
    care.broker.counts.connections = 2
    assert care.said() == [(COMMAND_TOPIC, payload, False)]
    care.hear(Answer(0, 1, Became.DONE, "5 of 5 are here and are sent again"))
    care.caring.connected(online)
    assert care.said() == []
    assert care.shown()["commands"][0]["became"] == "done"


def test_what_the_broker_does_not_take_is_said_later(care: Care) -> None:
    care.broker.full = True
    care.asked("commands", {"what": "report_now"})
    assert care.said() == []
    care.broker.full = False
    assert len(care.said()) == 1


def test_what_has_expired_is_not_said_any_more(care: Care) -> None:
    care.asked("commands", {"what": "report_now", "valid_h": 1})
    care.asked("settings", {"toml": SLOWER, "valid_h": 1})
    assert len(care.said()) == 2
    care.world.at_ms = NOW_MS + HOUR_MS
    assert care.said() == [(SETTINGS_TOPIC, b"", True)]
    found = care.shown()
    assert (found["settings"]["became"], found["commands"][0]["became"]) == ("expired", "expired")
    care.hear(Answer(1, 0, Became.DONE, "in force"))  # it was only the answer that was late
    assert care.shown()["settings"]["became"] == "done"


def test_a_final_answer_stands_and_answers_to_nothing_fill_no_journal(care: Care) -> None:
    care.asked("commands", {"what": "report_now"})
    care.hear(Answer(0, 1, Became.DONE, "readings 1 to 2"))
    entry = care.api.writer.state.entry
    for answer in (
        Answer(0, 1, Became.REFUSED, "replayed: command 1 was taken before"),
        Answer(0, 7, Became.DONE, "nobody asked"),
        Answer(3, 0, Became.DONE, "nobody asked"),
        Answer(0, 0, Became.REFUSED, "unsigned"),
    ):
        care.hear(answer)
    assert care.api.writer.state.entry == entry
    assert care.shown()["commands"][0]["said"] == "readings 1 to 2"


def test_a_bundle_is_read_from_the_journal(care: Care) -> None:
    care.asked("commands", {"what": "diagnostics"})
    care.hear(Answer(0, 1, Became.DONE, "40 bytes", pack_result({"spool": {"spooled": 3}})))
    assert care.shown()["commands"][0]["has_result"] is True
    found = care.api.get(f"/devices/{DEVICE}/commands/1/result")
    assert found["result"] == {"spool": {"spooled": 3}}
    assert_problem(care.api.client.get(f"/devices/{DEVICE}/commands/2/result"), 404)


def test_a_result_that_cannot_be_read_is_said_to_be_so(care: Care) -> None:
    care.asked("commands", {"what": "diagnostics"})
    care.hear(Answer(0, 1, Became.DONE, "", b"no zlib"))
    assert_problem(care.api.client.get(f"/devices/{DEVICE}/commands/1/result"), 422)


@pytest.mark.parametrize(
    ("what", "body", "status", "words"),
    [
        ("settings", {"toml": "uplink = ["}, 409, "not TOML"),
        ("settings", {"toml": "uplink = [" + 4_000 * "["}, 409, "nested more than 32 deep"),
        ("settings", {"toml": "uplink" + 4_000 * ".a" + " = 1"}, 409, "nested more than 32 deep"),
        ("settings", {"toml": "#" * 16_385}, 422, ""),
        ("settings", {"toml": "é" * 10_000}, 409, "at most 16384 bytes"),
        ("commands", {"what": "reboot"}, 422, ""),
        ("commands", {"what": "resend_range", "epoch": 1, "first": 9, "last": 5}, 409, "first to last"),
        ("commands", {"what": "resend_range", "first": 1, "last": 2}, 409, "a range has an epoch"),
        ("commands", {"what": "identify", "seconds": 61}, 422, ""),
    ],
)
def test_what_no_device_could_do_is_refused_here(
    care: Care, what: str, body: dict[str, Any], status: int, words: str
) -> None:
    assert words in assert_problem(care.post(what, body), status)["detail"]
    assert care.said() == []


def test_commands_and_what_is_remembered_of_them_are_bounded(care: Care) -> None:
    for _ in range(OPEN_MAX):
        care.asked("commands", {"what": "report_now"})
    assert (
        "wait for container-1 already" in assert_problem(care.post("commands", {"what": "report_now"}), 409)["detail"]
    )
    for number in range(1, COMMANDS_KEPT + 5):
        care.hear(Answer(0, number, Became.DONE, "done"))
        care.asked("commands", {"what": "report_now"})
    assert len(care.shown()["commands"]) == COMMANDS_KEPT


def test_devices_that_are_not_there_or_behind_a_gateway_are_refused(care: Care) -> None:
    assert_problem(care.post("commands", {"what": "report_now"}, "nobody"), 404)
    assert_problem(care.post("settings", {"toml": ""}, "nobody"), 404)
    document = book_document(care.api.device)
    document["installations"][0]["gateway"] = "site-9"
    care.api.spine.commit(drafts.amend, {"installations": document["installations"]})
    assert "gateway site-9" in assert_problem(care.post("commands", {"what": "report_now"}), 409)["detail"]


def test_without_a_key_nothing_can_be_asked(tmp_path: Path) -> None:
    api = ApiCloud(tmp_path)
    api.spine.commit(drafts.amend, book_document(api.device))
    answer = api.client.post(f"/devices/{DEVICE}/commands", json={"what": "report_now"})
    assert "care_key_file" in assert_problem(answer, 404)["detail"]
    api.close()


def test_state_and_replay_remember_the_same(care: Care, tmp_path: Path) -> None:
    care.asked("settings", {"toml": SLOWER})
    care.asked("commands", {"what": "identify"})
    care.hear(Answer(1, 0, Became.TAKEN, "on trial"))
    care.hear(Answer(0, 1, Became.REFUSED, "nothing to show itself with"))
    state = care.api.writer.state
    assert state_module.from_bytes(state_module.to_bytes(state)).care == state.care
    assert state_module.digest(state_module.from_bytes(state_module.to_bytes(state))) == state_module.digest(state)
    assert replay(tmp_path).digest == state_module.digest(state)


def test_answers_are_decoded_and_what_is_none_is_set_aside() -> None:
    device = Device()
    installations = book.amend(book.empty(), book_document(device)).installations

    def decoded(topic: str, payload: bytes) -> Any:
        message = Message(topic, payload, retained=False, token=1, arrived_s=0.0)
        return Decoder().decode([message], NOW_MS, installations)

    topic = f"pw/1/{OPERATOR}/{DEVICE}/answer"
    answer = Answer(0, 4, Became.DONE, "x")
    assert decoded(topic, encode_answer(answer)).answers == [DeviceAnswer(OPERATOR, DEVICE, answer)]
    too_long = encode_answer(answer._replace(result=b"x" * (RESULT_MAX + 1)))
    for wrong, why in (
        (decoded(topic, b"\xff"), "truncated"),
        (decoded(topic, encode_answer(answer._replace(version=1))), "an answer says"),
        (decoded(topic, b""), "an answer says"),
        (decoded(topic, too_long), "more than the cloud reads"),
        (decoded(f"pw/1/{OPERATOR}/other/answer", encode_answer(answer)), ""),
        (decoded(f"pw/1/{OPERATOR}/{DEVICE}/settings", b""), "a device sends no settings"),
    ):
        assert not wrong.answers
        assert why in f"{wrong.unreadable[0].reason}: {wrong.unreadable[0].detail}"


def test_of_a_revoked_device_no_status_and_no_answer_is_taken() -> None:
    installations = book.amend(book.empty(), book_document(Device())).installations
    status = Status(online=True, epoch=1, head_sequence=0, spooled_readings=0, agent_version="1")
    statuses, answers = (
        Message(f"pw/1/{OPERATOR}/{DEVICE}/{kind}", payload, retained=False, token=1, arrived_s=0.0)
        for kind, payload in (
            (
                "status",
                encode_status(status),
            ),
            ("answer", encode_answer(Answer(0, 4, Became.DONE, "x"))),
        )
    )

    def decoded(identity: Identity) -> Any:
        barred = IdentityBook().with_identity(identity).barred
        return Decoder().decode([statuses, answers], NOW_MS, installations, barred)

    renewed = decoded(Identity(DEVICE, from_epoch=3))  # claimed anew: only epochs of before are refused
    assert (len(renewed.statuses), len(renewed.answers)) == (1, 1)
    revoked = decoded(Identity(DEVICE, revoked_ms=1))
    assert (revoked.statuses, revoked.answers) == ([], [])
    assert [one.reason for one in revoked.unreadable] == [Refusal.REVOKED] * 2


def test_keepers_and_the_devices_own_operator_may_and_nobody_else(care: Care) -> None:
    keys = {name: "pwk_" + name.ljust(43, "0") for name in ("own", "other", "lender", "reads")}
    roles = {"own": (OPERATOR, "operator"), "other": ("other-line", "operator"), "lender": ("bank", "lender")}
    roles["reads"] = (OPERATOR, "operator")
    users = [
        {
            "id": name,
            "name": name,
            "party": roles[name][0],
            "role": roles[name][1],
            "keys": [
                {
                    "kid": "k",
                    "sha256": sha256_of(key),
                    "scope": "read" if name == "reads" else "write",
                }
            ],
        }
        for name, key in keys.items()
    ]
    parties = [{"id": one, "name": one} for one in sorted({party for party, _ in roles.values()})]
    care.api.spine.commit(drafts.amend, {"parties": parties, "users": users})

    def status(name: str, method: str, path: str, **more: Any) -> int:
        return int(
            care.api.client.request(method, f"/devices/{DEVICE}{path}", headers=shown(keys[name]), **more).status_code
        )

    asked = {"json": {"what": "report_now"}}
    wanted = {"own": (200, 200), "other": (404, 404), "lender": (403, 403), "reads": (403, 200)}
    found = {one: (status(one, "POST", "/commands", **asked), status(one, "GET", "")) for one in keys}
    assert found == wanted
    known = care.api.client.get(f"/devices/{DEVICE}", headers=shown(keys["own"])).json()
    assert [one["by"] for one in known["commands"]] == ["own"]
