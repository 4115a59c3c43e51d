"""Alerts over the real spine: raised, acknowledged, escalated, repeated, cleared, withdrawn; and told once."""

import json
from typing import Any

import pytest
from builders import MINUTE_MS, NOON_MS, Device, ManualClock, book_document, position, temperature

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.alerts import AlertState
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.spine.spine import Spine, recover
from pledgewatch_wire.reading import Reading

COLD, WARM = 5_000, 9_000
RULE = {"id": "too-warm", "on": "condition_breached", "group_by": "lot"}
SILENT = {"id": "silent", "on": "source_silent", "group_by": "gateway", "severity": "warning"}


class Bench:
    """Some devices, each on an asset with a lot, and alert rules."""

    def __init__(self, *rules: dict[str, Any], devices: int = 1, **installation: Any) -> None:
        self.devices = [Device(f"container-{number + 1}", seed=number + 1) for number in range(devices)]
        document = book_document(*self.devices) | {"milestones": [], "alert_rules": list(rules)}
        for one in document["installations"]:
            one.update(installation)
        for lot in document["lots"]:
            lot["limits"][0].update({"grace_s": 0, "max_gap_s": 0})
        self.store, self.clock = MemoryStore(), ManualClock()
        self.spine = Spine(self.store, self.clock, snapshot_every_entries=3)
        self.spine.commit(drafts.amend, document)
        self.told = 0

    def keep(self, minute: int, value: int, device: int = 0) -> Reading:
        """A reading to be sent later."""
        return self.devices[device].measure(NOON_MS + minute * MINUTE_MS, temperature(value))

    def send(self, reading: Reading, device: int = 0) -> None:
        """It arrives, not before it can have been measured."""
        self.clock.at_ms = max(self.clock.at_ms, reading.measured_at_ms)
        self.spine.take([self.devices[device].arrival([reading])])

    def measure(self, minute: int, value: int, device: int = 0) -> None:
        """A reading, sent at once."""
        self.send(self.keep(minute, value, device), device)

    def tick(self, minute: int) -> None:
        """Time passes to this minute."""
        self.clock.at_ms = max(self.clock.at_ms, NOON_MS + minute * MINUTE_MS)
        self.spine.tick()

    def messages(self) -> list[str]:
        """Types of the alert messages to the core since the last call."""
        sent = [one for one in self.store._outbox.values() if one.type.endswith("_alert")]
        fresh, self.told = sent[self.told :], len(sent)
        return [one.type.removesuffix("_alert") for one in fresh]

    def body(self) -> dict[str, Any]:
        """The data of the newest alert message."""
        found = [one.body for one in self.store._outbox.values() if one.type.endswith("_alert")]
        data: dict[str, Any] = json.loads(found[-1])["data"]
        return data

    def only(self) -> Any:
        """The one alert that there is."""
        (alert,) = self.spine.state.alerts.values()
        return alert


def test_an_alert_is_raised_and_clears_by_itself() -> None:
    bench = Bench(RULE)
    bench.measure(0, COLD)
    assert bench.messages() == []
    bench.measure(1, WARM)
    assert bench.messages() == ["raise"]
    assert bench.body()["lots"] == ["lot-container-1"]
    proof = bench.body()["causes"][0]["event"]
    assert [one.event.type for one in bench.store.events() if one.id == proof] == ["condition_breached"]
    bench.measure(2, WARM)
    bench.tick(3)
    assert bench.messages() == []
    bench.measure(4, COLD)
    assert (bench.messages(), bench.only().state) == (["clear"], AlertState.CLEARED)
    bench.tick(5)
    bench.measure(6, WARM)
    assert bench.messages() == ["raise"]


def test_what_does_not_last_alarms_nobody() -> None:
    bench = Bench(RULE | {"persist_s": 600})
    bench.measure(0, WARM)
    assert (bench.messages(), bench.only().state) == ([], AlertState.PENDING)
    bench.tick(9)
    bench.measure(9, COLD)
    bench.tick(30)
    assert (bench.messages(), bench.spine.state.alerts) == ([], {})
    bench.measure(31, WARM)
    bench.tick(40)
    assert bench.messages() == []
    bench.tick(41)
    assert bench.messages() == ["raise"]


def test_an_alert_that_nobody_heeds_is_escalated_and_repeated() -> None:
    bench = Bench(RULE | {"escalate_after_s": 3_600, "repeat_s": 1_800})
    bench.measure(0, WARM)
    assert bench.messages() == ["raise"]
    bench.tick(29)
    assert bench.messages() == []
    bench.tick(30)
    assert bench.messages() == ["repeat"]
    bench.tick(60)
    assert (bench.messages(), bench.only().state) == (["escalate", "repeat"], AlertState.ESCALATED)
    outcome = bench.spine.commit(drafts.acknowledge, bench.only().id, "night watch")
    assert outcome is not None
    assert (bench.messages(), bench.only().acknowledged_by) == (["acknowledge"], "night watch")
    assert bench.spine.commit(drafts.acknowledge, bench.only().id, "somebody else") is None
    assert bench.spine.commit(drafts.acknowledge, "nothing", "night watch") is None
    bench.tick(600)
    assert bench.messages() == []
    bench.measure(601, COLD)
    assert bench.messages() == ["clear"]


def test_worse_escalates_and_better_comes_down() -> None:
    """One group, two limits: a warning that becomes critical, and is a warning again."""
    bench = Bench(RULE)
    limits = [
        {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "severity": "warning", "max_gap_s": 0},
        {"id": "spoils", "channel": "temperature_mc", "low": 0, "high": 20_000, "max_gap_s": 0},
    ]
    lot = book_document(bench.devices[0])["lots"][0] | {"limits": limits}
    bench.spine.commit(drafts.amend, {"lots": [lot]})
    for minute, value, told, state in (
        (0, WARM, "raise", AlertState.OPEN),
        (1, 30_000, "escalate", AlertState.ESCALATED),
        (2, WARM, "de_escalate", AlertState.OPEN),
        (3, COLD, "clear", AlertState.CLEARED),
    ):
        bench.measure(minute, value)
        assert (bench.messages(), bench.only().state) == ([told], state)
    assert bench.only().severity == "critical", "the worst that it was"


def test_a_gateway_that_is_down_is_one_alert_and_not_four_hundred() -> None:
    bench = Bench(SILENT, devices=40, gateway="gateway-1", silent_after_s=3_600)
    for device in range(40):
        bench.measure(0, COLD, device)
    bench.tick(61)
    assert bench.messages() == ["raise"]
    assert (bench.only().group, len(bench.only().causes)) == ("gateway-1", 40)
    for device in range(39):
        bench.measure(70, COLD, device)
    assert bench.messages() == []
    bench.measure(70, COLD, 39)
    assert bench.messages() == ["clear"]


def test_a_restart_and_a_restored_backlog_flood_nobody() -> None:
    bench = Bench(SILENT, silent_after_s=3_600)
    bench.measure(0, COLD)
    backlog = [bench.keep(minute, COLD) for minute in range(30, 2_000, 30)]
    bench.tick(2_000)
    assert bench.messages() == ["raise"]
    for _ in range(3):
        bench.spine = Spine(bench.store, bench.clock, snapshot_every_entries=3)
        bench.tick(2_000)
    for reading in backlog:
        bench.send(reading)
        bench.tick(2_000)
    said = bench.messages()
    assert (set(said[:-1]) <= {"amend"}, said[-1]) == (True, "withdraw"), "it was never silent"
    assert [one.id for one in bench.spine.state.alerts.values()] == []


def test_a_retracted_cause_withdraws_its_alert_and_a_replaced_one_keeps_it() -> None:
    bench = Bench(RULE | {"group_by": "asset"})
    early, between, late = bench.keep(0, WARM), bench.keep(1, COLD), bench.keep(2, WARM)
    bench.send(late)
    first = bench.only().id
    assert bench.messages() == ["raise"]
    bench.send(early)
    assert (bench.messages(), bench.only().id) == (["amend"], first), "it began earlier: the same alert"
    bench.send(between)
    assert bench.only().state is AlertState.OPEN
    bench = Bench(RULE)
    warm = bench.keep(0, WARM)
    bench.send(warm)
    assert bench.messages() == ["raise"]
    ignore = [{"from": "2026-01-01T11:00:00Z", "until": "2026-01-01T13:00:00Z"}]
    lot = book_document(bench.devices[0])["lots"][0]
    lot["limits"][0] |= {"grace_s": 0, "ignore": ignore}
    bench.spine.commit(drafts.amend, {"lots": [lot]})
    assert (bench.messages(), bench.spine.state.alerts) == (["withdraw"], {})


@pytest.mark.parametrize(
    ("rule", "alarms"),
    [
        (RULE | {"cool_down_s": 86_400}, 1),
        (RULE | {"cool_down_s": 1_800}, 12),
        (RULE | {"persist_s": 900}, 0),
        (RULE | {"persist_s": 300}, 24),
    ],
)
def test_a_backlog_raises_what_would_have_been_raised_in_time(rule: dict[str, Any], alarms: int) -> None:
    """Ten minutes warm and ten cold, for eight hours; heard at once, or ten days later bit by bit."""
    for late_days in (0, 10):
        bench = Bench(rule)
        readings = [bench.keep(10 * number, COLD if number % 2 else WARM) for number in range(48)]
        if late_days:
            bench.tick(late_days * 24 * 60)
        for reading in readings:
            bench.send(reading)
            bench.spine.tick()
        told = bench.messages()
        assert (told.count("raise"), told.count("clear"), len(told)) == (alarms, alarms, 2 * alarms)


def test_an_alert_whose_end_was_none_is_open_again() -> None:
    """Into a forbidden fence and out of it; then the fence is enlarged, and it was never left."""
    bench = Bench({"id": "trespass", "on": "fence_entered", "group_by": "asset"})

    def fence(east: float) -> dict[str, Any]:
        ring = [[-119.0, 33.0], [east, 33.0], [east, 35.0], [-119.0, 35.0], [-119.0, 33.0]]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        feature = {"type": "Feature", "id": "no-go", "properties": {"kind": "forbidden"}, "geometry": geometry}
        return {"fences": {"type": "FeatureCollection", "features": [feature]}}

    def sail(minute: int, longitude: float) -> None:
        bench.send(
            bench.devices[0].measure(NOON_MS + minute * MINUTE_MS, *position((340_000_000, round(longitude * 1e7))))
        )

    bench.spine.commit(drafts.amend, fence(-118.0))
    sail(0, -116.5)
    sail(60, -118.5)
    sail(120, -117.5)
    assert bench.messages() == ["raise", "clear"]
    bench.spine.commit(drafts.amend, fence(-117.0))
    assert bench.only().state is AlertState.OPEN
    assert bench.messages()[-1] == "raise"


def test_a_worse_cause_voids_an_acknowledgement_and_a_better_one_does_not() -> None:
    bench = Bench(RULE)
    limits = [
        {"channel": "temperature_mc", "low": 2_000, "high": 8_000, "severity": "warning", "max_gap_s": 0},
        {"id": "spoils", "channel": "temperature_mc", "low": 0, "high": 20_000, "max_gap_s": 0},
    ]
    bench.spine.commit(drafts.amend, {"lots": [book_document(bench.devices[0])["lots"][0] | {"limits": limits}]})
    bench.measure(0, WARM)
    bench.spine.commit(drafts.acknowledge, bench.only().id, "day watch")
    bench.measure(1, 30_000)
    assert (bench.only().state, bench.only().acknowledged_by) == (AlertState.ESCALATED, "")
    bench.spine.commit(drafts.acknowledge, bench.only().id, "night watch")
    bench.measure(2, WARM)
    assert (bench.only().state, bench.only().acknowledged_by) == (AlertState.ACKNOWLEDGED, "night watch")


def test_names_that_lots_assets_and_gateways_share_do_not_mix_their_alerts() -> None:
    """An asset that is named like another one's lot, and is a gateway's name too."""
    devices = [Device(f"container-{number}", seed=number) for number in (1, 2)]
    document = book_document(*devices) | {"milestones": [], "alert_rules": [RULE | {"group_by": "asset"}]}
    document["facilities"].append(document["facilities"][0] | {"id": "facility-2"})
    for name, one in zip(("lot-container-2", "other"), document["installations"], strict=True):
        one["asset"] = name
    document["installations"][1]["gateway"] = "lot-container-2"
    for lot, asset, facility in zip(document["lots"], ("lot-container-2", "other"), (1, 2), strict=True):
        lot |= {"asset": asset, "facility": f"facility-{facility}"}
        lot["limits"][0]["grace_s"] = 0
    store = MemoryStore()
    spine = Spine(store, ManualClock(NOON_MS + MINUTE_MS))
    spine.commit(drafts.amend, document)
    spine.take([devices[0].arrival([devices[0].measure(NOON_MS, temperature(WARM))])])
    raised = [
        (one.facility, json.loads(one.body)["data"]["lots"]) for one in store._outbox.values() if "alert" in one.type
    ]
    assert raised == [("facility-1", ["lot-container-1"])]


def test_cool_down() -> None:
    bench = Bench(RULE | {"cool_down_s": 1_800})
    for minute, value in ((0, WARM), (1, COLD), (2, WARM)):
        bench.measure(minute, value)
    assert bench.messages() == ["raise", "clear"]
    bench.tick(30)
    assert bench.messages() == []
    bench.tick(31)
    assert bench.messages() == ["raise"], "it still lasts once the cool-down is over"


def test_each_bank_hears_of_its_own_goods_only() -> None:
    bench = Bench(SILENT, devices=2, gateway="gateway-1", silent_after_s=3_600)
    facility = book_document()["facilities"][0] | {"id": "facility-2"}
    lot = book_document(*bench.devices)["lots"][1] | {"facility": "facility-2"}
    bench.spine.commit(drafts.amend, {"facilities": [facility], "lots": [lot]})
    for device in range(2):
        bench.measure(0, COLD, device)
    bench.tick(100)
    bodies = {
        one.facility: json.loads(one.body)["data"] for one in bench.store._outbox.values() if one.type == "raise_alert"
    }
    assert {name: data["lots"] for name, data in bodies.items()} == {
        "facility-1": ["lot-container-1"],
        "facility-2": ["lot-container-2"],
    }
    assert {name: {one["asset"] for one in data["causes"]} for name, data in bodies.items()} == {
        "facility-1": {"asset-container-1"},
        "facility-2": {"asset-container-2"},
    }


@pytest.mark.parametrize("snapshots", [True, False])
def test_alerts_and_acknowledgements_come_back_from_the_journal(*, snapshots: bool) -> None:
    bench = Bench(RULE | {"repeat_s": 60, "escalate_after_s": 120}, SILENT, devices=2, silent_after_s=3_600)
    for minute in range(0, 40, 2):
        bench.measure(minute, WARM if minute % 8 else COLD, minute // 2 % 2)
        bench.tick(minute + 1)
        if minute == 20:
            opened = [one.id for one in bench.spine.state.alerts.values() if one.state is not AlertState.CLEARED]
            bench.spine.commit(drafts.acknowledge, opened[0], "watch")
    if not snapshots:
        bench.store._snapshots = []
    assert state_module.to_bytes(recover(bench.store)) == state_module.to_bytes(bench.spine.state)
