"""Endpoints as people see them: API, metrics, command line, and the configuration that opens them."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from api_cloud import ApiCloud
from builders import NOON_MS, ManualClock
from outboxes import ALERT, BASE, Bench, take
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from test_relay import GONE, LATER, REFUSED, Scripted

from pledgewatch_cloud import delivery, doctor
from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.api import endpoint_metrics
from pledgewatch_cloud.clock import SystemClock
from pledgewatch_cloud.config import CloudSettings
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.journal.outbox import CORE, Begin, OutboxMessage, Wanted
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.outbox import pain001
from pledgewatch_cloud.outbox.relay import Relay, RelaySettings
from pledgewatch_wire.settings import SettingsError, load


class OutboxCloud(ApiCloud):
    """A store whose outbox a test fills, and two relays."""

    def __init__(self, folder: Path) -> None:
        store, clock = MemoryStore(), ManualClock()
        self.bench = Bench(store)
        self.core, self.desk = Scripted(), Scripted()
        store.declare(CORE, Wanted(), Begin.FIRST)
        store.declare("desk", Wanted(types=("record_base",)), Begin.NOW)
        settings = RelaySettings(lag_alert_s=60, circuit_failures=1)
        self.relays = {
            name: Relay(store, endpoint, clock, Random(1), name=name, settings=settings)
            for name, endpoint in ((CORE, self.core), ("desk", self.desk))
        }
        super().__init__(folder, store=store, delivery_clock=clock, relays=self.relays)
        self.clock = clock

    def round(self) -> None:
        """Each relay delivers what is due, and looks how far it lies behind."""

        async def run() -> None:
            for one in self.relays.values():
                await one.deliver_due()
                await one.look()

        asyncio.run(run())

    def post(self, path: str, status: int = 200, **body: str) -> Any:
        answer = self.client.post(path, json=body or None)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[OutboxCloud]:
    made = OutboxCloud(tmp_path)
    yield made
    made.close()


def test_endpoints_are_shown_as_they_stand(cloud: OutboxCloud) -> None:
    cloud.bench.put(("f", BASE), ("f", ALERT))
    cloud.core.answers = [LATER]
    cloud.clock.at_ms = NOON_MS + 90_000
    cloud.round()
    core, desk = cloud.get("/outbox/endpoints")
    assert (core["name"], core["pending"], core["delivered"], core["circuit"]) == ("core", 2, 0, "open")
    assert (core["lag_s"], core["is_lagging"], core["failures"]) == (89.0, True, {"server_error": 1})
    assert (core["errors"], core["stopped_at_ms"]) == ({"f": "HTTP 503"}, None)
    assert core["oldest_pending_ms"] == NOON_MS + 1_000
    assert (desk["name"], desk["pending"], desk["delivered"], desk["circuit"]) == ("desk", 0, 1, "closed")
    assert (desk["message_types"], desk["begin"], desk["is_lagging"]) == (["record_base"], "now", False)
    del cloud.relays["desk"]
    assert cloud.get("/outbox/endpoints")[1]["running"] is False


def test_dead_letters_are_of_an_endpoint(cloud: OutboxCloud) -> None:
    (first, _) = cloud.bench.put(("f", BASE), ("f", ALERT))
    cloud.desk.answers = [REFUSED]
    cloud.round()
    (dead,) = cloud.get("/outbox/dead")
    assert (dead["endpoint"], dead["id"], dead["attempts"], dead["error"]) == ("desk", first, 1, "HTTP 422")
    assert cloud.get("/outbox/dead?endpoint=core") == []
    assert "of endpoint 'core'" in cloud.post(f"/outbox/dead/{first}/send", 404)["detail"]
    assert cloud.post(f"/outbox/dead/{first}/send?endpoint=desk")["state"] == "pending"
    assert cloud.woken == 1
    cloud.round()
    assert cloud.desk.taken == [first]


def test_what_was_delivered_is_shown_with_its_evidence(cloud: OutboxCloud) -> None:
    (first,) = cloud.bench.put(("f", BASE))
    cloud.round()
    core, desk = cloud.get(f"/outbox/{first}/deliveries")
    assert (core["endpoint"], core["attempt"], core["status"], core["keys"]) == ("core", 1, 200, ["0a1b2c3d"])
    assert json.loads(core["answer"]) == {"release": "booked"}
    assert desk["endpoint"] == "desk"
    assert cloud.get("/outbox/nobody/deliveries") == []


def test_an_endpoint_is_replayed_and_resumed(cloud: OutboxCloud) -> None:
    first, second = (cloud.bench.put(("f", BASE))[0] for _ in range(2))
    for _ in range(2):
        cloud.round()
    assert cloud.post("/outbox/endpoints/desk/replay", point="f:2") == {"endpoint": "desk", "facilities": 1}
    cloud.round()
    assert cloud.desk.taken == [first, second, second]
    assert cloud.post("/outbox/endpoints/core/replay", point=iso(NOON_MS))["facilities"] == 1
    assert "neither an entry's number" in cloud.post("/outbox/endpoints/core/replay", 422, point="soon")["detail"]
    assert "there is no endpoint" in cloud.post("/outbox/endpoints/nobody/replay", 422, point="1")["detail"]
    cloud.core.answers = [GONE]
    cloud.round()
    assert cloud.get("/outbox/endpoints")[0]["stopped_why"] == "HTTP 410"
    cloud.post("/outbox/endpoints/core/resume")
    for _ in range(2):
        cloud.round()
    assert cloud.core.taken == [first, second, first, second]
    cloud.post("/outbox/endpoints/nobody/resume", 404)


def test_metrics_are_of_each_endpoint(cloud: OutboxCloud) -> None:
    cloud.bench.put(("f", BASE), ("f", ALERT))
    cloud.core.answers = [LATER]
    cloud.clock.at_ms = NOON_MS + 90_000
    cloud.round()

    class Scrape(Collector):
        def collect(self) -> Iterator[Any]:
            yield from endpoint_metrics.families(cloud.client.app.state.service)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Scrape())
    lines = generate_latest(registry).decode().splitlines()
    samples = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    found = {name.removeprefix("pledgewatch_endpoint_"): float(value) for name, _, value in samples}
    for name, value in (
        ('pending{endpoint="core"}', 2),
        ('pending{endpoint="desk"}', 0),
        ('oldest_pending_seconds{endpoint="core"}', 89),
        ('lagging{endpoint="core"}', 1),
        ('lagging{endpoint="desk"}', 0),
        ('attempts_total{endpoint="core"}', 1),
        ('failures_total{endpoint="core",reason="server_error"}', 1),
        ('deliveries_total{endpoint="desk"}', 1),
        ('dead{endpoint="core"}', 0),
        ('stopped{endpoint="core"}', 0),
        ('circuit{endpoint="core",state="open"}', 1),
        ('circuit{endpoint="core",state="closed"}', 0),
        ('answer_seconds_count{endpoint="desk"}', 1),
    ):
        assert found[name] == value, name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal: two facilities, an endpoint beside the core, a dead letter of each."""
    store = SqliteStore(tmp_path / "data")
    bench = Bench(store)
    store.declare(CORE, Wanted(), Begin.FIRST)
    store.declare("desk", Wanted(), Begin.FIRST)
    bench.put(("f", BASE), ("g", BASE))
    bench.put(("f", BASE))
    for endpoint in (CORE, "desk"):
        f, g = store.due(endpoint, NOON_MS)
        store.buried(endpoint, f, "HTTP 422: no")
        take(store, g, endpoint)
    store.close()
    return tmp_path / "data"


def command(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[Any], str]:
    code = main(["outbox", "--data", str(folder), *options])
    said = capsys.readouterr()
    return code, [json.loads(line) for line in said.out.splitlines()], said.err


def test_the_command_lists_and_sends_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, dead, _ = command(folder, capsys)
    assert (code, [(one["endpoint"], one["facility"]) for one in dead]) == (0, [("core", "f"), ("desk", "f")])
    message_id = dead[0]["id"]
    assert [one["endpoint"] for one in command(folder, capsys, "--endpoint", "desk")[1]] == ["desk"]
    assert command(folder, capsys, "--send-again", "no-such-id")[0::2] == (
        1,
        "there is no dead letter no-such-id of endpoint core\n",
    )
    assert command(folder, capsys, "--endpoint", "desk", "--pass-over", message_id)[0] == 0
    assert command(folder, capsys, "--send-again", "all")[0] == 0
    assert command(folder, capsys)[1] == []
    _, (core, desk), _ = command(folder, capsys, "--endpoints")
    assert [(one["name"], one["pending"], one["dead"], one["delivered"]) for one in (core, desk)] == [
        ("core", 2, 0, 1),
        ("desk", 1, 0, 1),
    ]


def test_the_command_shows_evidence_replays_and_resumes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = SqliteStore(folder)
    store.stop("desk", "HTTP 410", NOON_MS)
    (message_id,) = (one.message.id for one in store.dead_letters(CORE))
    delivered = message_id.replace(".1.0", ".1.1")
    store.close()
    _, records, _ = command(folder, capsys, "--deliveries", delivered)
    assert [(one["endpoint"], one["status"]) for one in records] == [("core", 200), ("desk", 200)]
    assert command(folder, capsys, "--endpoint", "desk", "--resume")[0] == 0
    assert command(folder, capsys, "--endpoint", "nobody", "--resume")[0] == 1
    assert command(folder, capsys, "--endpoints", "--endpoint", "desk")[1][0]["stopped_at_ms"] is None
    code, said, _ = command(folder, capsys, "--replay-from", "g:1")
    assert (code, said) == (0, [{"endpoint": "core", "facilities": 1}])
    assert command(folder, capsys, "--endpoints")[1][0]["pending"] == 2
    code, _, error = command(folder, capsys, "--replay-from", "soon")
    assert (code, "neither an entry's number" in error) == (2, True)


def configured(folder: Path, sections: str) -> CloudSettings:
    path = folder / "cloud.toml"
    path.write_text(f'[service]\ndata_folder = "data"\n{sections}\n', encoding="utf-8")
    (folder / "one.secret").write_text("whsec_" + "Zm9yLXRlc3RzLWFsb25lLWZvci10ZXN0cy1hbG9uZQ==\n")
    (folder / "odd.secret").write_text("hunter2")
    return load(path, CloudSettings)


async def booked(payer: str, message: OutboxMessage, release: str) -> None:
    """The journal is told."""


def payer_of(milestone: str) -> None:
    """Nothing is booked."""


async def obstacle(milestone: str, message: str) -> str:
    """Nothing stands against paying."""
    return ""


async def test_every_endpoint_of_the_configuration_gets_its_relay(tmp_path: Path) -> None:
    settings = configured(
        tmp_path,
        '[core]\nurl = "https://core.test/"\nsecret_files = ["one.secret"]\nmessage_types = ["record_base"]\n'
        '[[endpoints]]\nname = "payments"\nform = "pain001"\nfolder = "out/payments"\n'
        '[[endpoints]]\nname = "bus"\nform = "mqtt"\nurl = "mqtts://bus.test"\nside_by_side = 3\n'
        '[[endpoints]]\nname = "desk"\nurl = "https://desk.test/"\nsecret_files = ["one.secret", "one.secret"]\n'
        'message_types = ["record_base"]\nfacilities = ["f"]\n',
    )
    store = MemoryStore()
    before = threading.active_count()
    async with contextlib.AsyncExitStack() as stack:
        relays = await delivery.relays_of(settings, store, SystemClock(), stack, booked, obstacle, payer_of)
        assert list(relays) == ["core", "payments", "bus", "desk"]
        assert [name for name, one in relays.items() if one.is_payer] == ["payments"] == list(settings.payers())
        assert relays["bus"].settings.side_by_side == 3
        assert (tmp_path / "out" / "payments").is_dir()
        wanted = {one.name: (one.begin, one.wanted) for one in store.endpoints()}
        delivery.wake(relays, ["j.1.0"])
        assert all(one._withdrawn == {"j.1.0"} for one in relays.values())
    assert wanted == {
        "core": (Begin.FIRST, Wanted(types=("record_base",))),
        "payments": (Begin.NOW, Wanted(types=tuple(sorted(pain001.TYPES)))),
        "bus": (Begin.NOW, Wanted()),
        "desk": (Begin.NOW, Wanted(("record_base",), ("f",))),
    }
    assert threading.active_count() <= before + 1


def core_of(types: str = "", facilities: str = "") -> str:
    """A [core] that is sent these."""
    told = (f"message_types = [{types}]\n" if types else "") + (f"facilities = [{facilities}]\n" if facilities else "")
    return f'[core]\nurl = "https://core.test/"\nsecret_files = ["one.secret"]\n{told}'


def payments_of(facilities: str = "", name: str = "payments") -> str:
    """A folder of payments for these."""
    return f'[[endpoints]]\nname = "{name}"\nform = "pain001"\nfolder = "{name}"\nfacilities = [{facilities}]\n'


DESK = '[[endpoints]]\nname = "desk"\nurl = "https://desk.test/"\nsecret_files = ["one.secret"]\n'
NO_RELEASES = '"record_base", "hold_release"'
ALL_OF_RELEASES = ", ".join(f'"{one}"' for one in pain001.TYPES)
CURE_OF_CORE = (
    "name [core] message_types without release_disbursement and resume_release, or give them facilities that do not"
    " overlap"
)
PAYERS = [
    # what is configured                            who pays
    (core_of(), ["core"]),
    (core_of() + DESK, ["core"]),
    (core_of(NO_RELEASES), []),
    (core_of(NO_RELEASES) + payments_of(), ["payments"]),
    (core_of(ALL_OF_RELEASES, '"f"') + payments_of('"g", "h"'), ["core", "payments"]),
    (payments_of('"f"') + payments_of('"g"', "others") + DESK, ["others", "payments"]),
]
TWO_PAYERS = [
    # what is configured                            who would pay what twice, and the cure
    (core_of() + payments_of(), f"[core] and [[endpoints]] payments would both pay every facility; {CURE_OF_CORE}"),
    (core_of() + payments_of('"f"'), f"would both pay f; {CURE_OF_CORE}"),
    (core_of(ALL_OF_RELEASES + ', "record_base"', '"f", "g"') + payments_of(), "would both pay f, g; "),
    (core_of("", '"f", "g", "h"') + payments_of('"i", "h", "g"'), "would both pay g, h; "),
    (
        payments_of() + payments_of('"g"', "others"),
        "[[endpoints]] payments and [[endpoints]] others would both pay g; give them facilities that do not overlap",
    ),
]


@pytest.mark.parametrize(("sections", "payers"), PAYERS)
def test_who_pays(tmp_path: Path, sections: str, payers: list[str]) -> None:
    assert sorted(configured(tmp_path, sections).payers()) == payers


@pytest.mark.parametrize("unheard", pain001.TYPES)
def test_whoever_pays_hears_all_that_is_said_of_a_release(tmp_path: Path, unheard: str) -> None:
    heard = ", ".join(f'"{one}"' for one in pain001.TYPES if one != unheard)
    for place, sections in (
        ("[core]", core_of(heard)),
        ("[[endpoints]] payments", payments_of() + f"message_types = [{heard}]\n"),
    ):
        with pytest.raises(SettingsError) as caught:
            configured(tmp_path, sections)
        assert f"{place} message_types lacks {unheard}; whoever pays must hear" in str(caught.value)


@pytest.mark.parametrize(("sections", "words"), TWO_PAYERS)
def test_nobody_is_paid_by_two(tmp_path: Path, sections: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        configured(tmp_path, sections)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ('[core]\nurl = "https://core.test/"\nsecret_files = ["odd.secret"]', "odd.secret holds no Standard Webhooks"),
        (
            '[core]\nurl = "https://core.test/"\nsecret_files = ["one.secret"]\nca_file = "odd.secret"',
            "endpoint core: its certificates",
        ),
        ('[[endpoints]]\nname = "p"\nform = "pain001"\nfolder = "odd.secret/x"', "endpoint p: "),
    ],
)
async def test_an_endpoint_that_cannot_be_opened_is_named(tmp_path: Path, section: str, words: str) -> None:
    settings = configured(tmp_path, section)
    async with contextlib.AsyncExitStack() as stack:
        with pytest.raises(delivery.DeliveryError) as caught:
            await delivery.relays_of(settings, MemoryStore(), SystemClock(), stack, booked, obstacle, payer_of)
    assert words in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_the_doctor_says_what_is_wrong_with_endpoints(tmp_path: Path, folder: Path) -> None:
    store = SqliteStore(folder)
    store.declare("bus", Wanted(), Begin.NOW)
    store.declare("gone", Wanted(), Begin.NOW)
    store.stop("gone", "HTTP 410: no", NOON_MS)
    store.declare("payments", Wanted(), Begin.FIRST)
    store.close()
    settings = configured(
        tmp_path,
        '[broker]\nembedded = true\nport = 0\n[core]\nurl = "https://127.0.0.1:1/"\nsecret_files = ["one.secret"]\n'
        'message_types = ["record_base"]\n'
        '[[endpoints]]\nname = "bus"\nform = "mqtt"\nurl = "mqtt://127.0.0.1:1"\nallow_private_networks = true\n'
        '[[endpoints]]\nname = "gone"\nurl = "https://core.test/"\nsecret_files = ["one.secret"]\n'
        'ca_file = "odd.secret"\nallow_private_networks = true\n'
        '[[endpoints]]\nname = "payments"\nform = "pain001"\nfolder = "out"\n',
    )
    found = {one.what: one for one in await doctor.examine(settings)}
    assert "127.0.0.1 is at 127.0.0.1, which is not public" in found["core"].text
    assert found["core"].text.endswith("([core])")
    assert found["outbox core"].text == "1 dead letters hold their facilities; `outbox --endpoint core` lists them"
    assert found["bus"].text.startswith("mqtt://127.0.0.1:1 does not answer (")
    assert found["bus"].text.endswith("; start it, or mend [[endpoints]] bus url")
    assert found["outbox bus"].text == "nothing waits, 0 deliveries"
    assert "for it said HTTP 410: no; `outbox --endpoint gone --resume` lifts it" in found["outbox gone"].text
    assert found["payments"].text == f"payment files go to {tmp_path / 'out'}"
    assert found["outbox payments"].text.startswith(
        "3 messages wait, the oldest since 2026-01-01T12:00:01Z, which is longer"
    )
    wells = {
        what: found[what].is_well
        for what in ("core", "outbox core", "bus", "outbox bus", "outbox gone", "outbox payments", "payments")
    }
    assert [what for what, is_well in wells.items() if is_well] == ["outbox bus", "payments"]
    assert "gone ca_file" in found
