"""A warehouse from its sensors to the bank's base: the simulated one, a real gateway, a real cloud, all as processes.

Loads of sofas stand in a hall, each under a seal. The warehouse issues a receipt on them, their depositor pledges it.
Then thieves come: one load goes around the gate's reader, one past it. What the cloud finds is held against the
simulation's ledger of truth, which nobody else sees.
"""

import contextlib
import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from brokers import BrokerProcess, started
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from receipting import begins, signed
from station import Process, Station

from pledgewatch_cloud.decide.moments import iso
from pledgewatch_sim.programs import free_port

ROOT = Path(__file__).resolve().parent.parent
WAREHOUSE, DEPOSITOR, BANK, SURVEYOR = "la-3", "sofa-works", "bank-one", "surveyor"
KEYS = {
    name: Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
    for number, name in enumerate((WAREHOUSE, DEPOSITOR, BANK, SURVEYOR), 31)
}
RECEIPT = f"{WAREHOUSE}:0001"
SOFA, PRICE_MINOR = "SOFA-3", 20_000
EVIDENCE = {"by": "reading", "fresh_s": 3_600, "stale_s": 7_200}
GATE, HALL = "la-3-gate", "la-3-hall"
DAY_MS = 86_400_000
WITHIN_S = 10.0
SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
GATEWAY = """
[gateway]
operator = "harbour-line"
name = "site-la-3"
state_folder = "gateway"
[broker]
host = "127.0.0.1"
port = {port}
keep_alive_s = 5
reconnect_max_s = 0.5
[uplink]
resend_after_s = 2.0
[checkpoint]
every_readings = 20
every_s = 5.0
[status_page]
port = {page}
"""


class Warehouse:
    """The simulation as a process, and what it alone knows."""

    def __init__(self, folder: Path, broker_port: int) -> None:
        command = [sys.executable, "-m", "pledgewatch_sim", "warehouse", "--folder", str(folder / "warehouse")]
        # All of its days are over: from now on only sensors speak, and thieves come when they are called.
        story = ["--seed", "11", "--days", "2", "--past-days", "2", "--every", "1", "--grace", "2", "--sales", "dice"]
        self._process = subprocess.Popen(
            [*command, *story, "--broker", str(broker_port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.addresses: dict[str, Any] = json.loads(self._process.stdout.readline())

    def read(self, name: str) -> str:
        """A file that it has left."""
        return Path(self.addresses[name]).read_text(encoding="utf-8")

    def loads(self) -> dict[str, tuple[str, int]]:
        """The loads that its stock system believes in, by seal: bin and pieces."""
        with urllib.request.urlopen(f"{self.addresses['wms']}/movements", timeout=10) as answer:
            rows = [one for one in json.load(answer)["movements"] if one.get("lot")]
        gone = {one["lot"] for one in rows if one["kind"] == "shipped"}
        return {one["lot"]: (one["bin"], int(one["quantity"])) for one in rows if one["lot"] not in gone}

    def steal(self, *, is_read: bool) -> dict[str, Any]:
        """Have a load stolen; what the ledger of truth says of it."""
        before = len(self.thefts())
        self._process.send_signal(signal.SIGUSR1 if is_read else signal.SIGUSR2)
        deadline = time.monotonic() + 60
        while len(self.thefts()) == before:
            assert time.monotonic() < deadline, "nothing was stolen"
            time.sleep(0.02)
        return self.thefts()[-1]

    def thefts(self) -> list[dict[str, Any]]:
        """What was stolen so far."""
        found = [json.loads(line) for line in self.read("truth").splitlines()]
        return [one for one in found if one["kind"] == "theft"]

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(60)
        self._process.kill()
        self._process.communicate()


class Bank:
    """The whole of it, seen by the cloud's API."""

    def __init__(self, folder: Path, broker: BrokerProcess, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.station = Station(folder, broker)
        self.page_port = free_port()
        self.gateway_file = folder / "gateway.toml"
        self.gateway = Process("gateway", ["pledgewatch_gateway", "run", "--config", str(self.gateway_file)], folder)
        self._tell_who_signs(folder)
        self._write_gateway(broker.port)
        self.station.set_book(self._book())
        self.station.agents["gateway"] = self.gateway

    def _tell_who_signs(self, folder: Path) -> None:
        (folder / "wms.secret").write_text(SECRET + "\n", encoding="ascii")
        (folder / "wms.secret").chmod(0o600)
        with (folder / "cloud.toml").open("a", encoding="utf-8") as file:
            file.write('[[senders]]\nid = "wms"\nsecret_files = ["wms.secret"]\n')

    def _write_gateway(self, broker_port: int) -> None:
        """The gateway's own, what the warehouse has left for it, and how the page says that documents are fetched."""
        page = (ROOT / "docs" / "WAREHOUSE_SIM.md").read_text(encoding="utf-8")
        (documents,) = re.findall(r"```toml\n(\[documents\].*?)```", page, re.DOTALL)
        documents = documents.replace("http://127.0.0.1:8490", self.warehouse.addresses["wms"])
        documents = documents.replace("127.0.0.1:8420", f"127.0.0.1:{self.station.api_port}")
        parts = [GATEWAY.format(port=broker_port, page=self.page_port), documents, self.warehouse.read("gateway_part")]
        self.gateway_file.write_text("\n".join(parts), encoding="utf-8")

    def _book(self) -> dict[str, Any]:
        """What the warehouse has left for the book, with keys, installations, and what the bank lends on."""
        command = [sys.executable, "-m", "pledgewatch_gateway", "identity", "--config", str(self.gateway_file)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        identities = [json.loads(line) for line in said.splitlines()]
        book: dict[str, Any] = json.loads(self.warehouse.read("book_part"))
        others = [{"id": one, "name": one} for one in (BANK, SURVEYOR)]
        for party in (*book["parties"], *others):
            if party["id"] in KEYS:
                public = KEYS[party["id"]].public_key().public_bytes_raw()
                party["keys"] = [{"kid": "k1", "x": urlsafe_b64encode(public).rstrip(b"=").decode()}]
        book["parties"] += others
        book["warehouses"][0]["inspectors"] = [SURVEYOR]
        pieces = sum(number for _, number in self.warehouse.loads().values())
        warmth = {"channel": "temperature_mc", "low": -90_000, "high": 90_000, "max_gap_s": 0}
        return book | {
            "assets": [{"id": HALL, "kind": "warehouse"}],
            "installations": [
                {name: one[name] for name in ("device", "operator", "asset", "public_key", "gateway")}
                for one in identities
            ],
            "prices": [{"sku": SOFA, "unit_price_minor": PRICE_MINOR, "currency": "USD"}],
            "policies": [{"id": "half", "advance_bp": {"warehouse": 5_000}, "receipt": 1, "evidence": EVIDENCE}],
            "facilities": [{"id": "line", "lender": BANK, "borrower": DEPOSITOR, "currency": "USD", "policy": "half"}],
            "lots": [
                {"id": "sofas", "asset": HALL, "facility": "line", "sku": SOFA, "quantity": pieces}
                | {"receipt": {"id": RECEIPT}, "warehouse": WAREHOUSE, "limits": [warmth]}
            ],
        }

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        return self.station.get(self.station.api_port, path)

    def post(self, path: str, text: str) -> Any:
        """What is answered to a signed text."""
        url = f"http://127.0.0.1:{self.station.api_port}{path}"
        asked = urllib.request.Request(url, text.encode("ascii"), {"content-type": "application/jose"})
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.code} {error.read().decode()}") from None

    def act(self, by: str, kind: str, **body: Any) -> dict[str, Any]:
        """Somebody signs an act on the receipt; the receipt after it."""
        after = "" if kind == "issue" else self.receipt()["head"]
        body = begins(kind, after, self.get("/receipts/register")["register"]) | body
        payload = {"act": kind, "receipt": RECEIPT, "after": after, "by": by, "at": iso(now_ms()), **body}
        found: dict[str, Any] = self.post("/receipts/acts", signed(by, payload, key=KEYS[by]))["receipt"]
        return found

    def newest(self) -> dict[tuple[str, str], int | None]:
        """What the gateway knows, by zone and channel."""
        with contextlib.suppress(OSError):
            sensors = self.station.get(self.page_port, "/status.json")["sensors"]
            return {(one["zone"], one["channel"]): one["value"] for one in sensors}
        return {}

    def receipt(self) -> dict[str, Any]:
        """The receipt as it stands."""
        found: dict[str, Any] = self.get(f"/receipts/{quote(RECEIPT, safe='')}")
        return found

    def base(self) -> dict[str, Any]:
        """The facility's base as it stands."""
        found: dict[str, Any] = self.get("/facilities/line")["base"]
        return found

    def cases(self) -> dict[str, dict[str, Any]]:
        """The open cases of the warehouse, by kind."""
        return {one["kind"]: one for one in self.get(f"/warehouses/{WAREHOUSE}/cases")}

    def events(self) -> list[dict[str, Any]]:
        """Everything that was found so far."""
        found: list[dict[str, Any]] = self.get("/events?limit=10000")["events"]
        return found

    def sofas(self) -> Counter[str]:
        """What the stock book has of them, by bin."""
        goods = self.get(f"/stock?sku={SOFA}")["goods"]
        return Counter({one["bin"]: one["on_hand_milli"] // 1_000 for one in goods if one["on_hand_milli"]})

    def until(self, condition: Any, what: str, timeout_s: float = 60.0) -> None:
        """Wait for what other processes do."""
        self.station.until(condition, what, timeout_s)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    broker = started("amqtt", tmp_path / "broker")
    warehouse = Warehouse(tmp_path, broker.port)
    try:
        made = Bank(tmp_path / "bank", broker, warehouse)
        try:
            made.station.open()
            made.gateway.start()
            yield made
        finally:
            made.station.close()
    finally:
        warehouse.close()
        broker.kill()


def pledge(bank: Bank) -> int:
    """Issue a receipt on every load of the hall and pledge it; how many sofas that is."""
    loads = bank.warehouse.loads()
    wanted = Counter[str]()
    for place, pieces in loads.values():
        wanted[place] += pieces
    bank.until(lambda: bank.sofas() == wanted, "the stock system's sofas in the stock book")
    goods = [
        {"sku": SOFA, "quantity_milli": pieces * 1_000, "unit": "EA", "bin": place, "seal": seal}
        for seal, (place, pieces) in sorted(loads.items())
    ]
    midnight_ms = now_ms() // DAY_MS * DAY_MS
    received = {"from": iso(midnight_ms - 2 * DAY_MS), "until": iso(midnight_ms)}
    until = iso(now_ms() + 90 * DAY_MS)
    assert bank.act(WAREHOUSE, "issue", depositor=DEPOSITOR, goods=goods, received=received, until=until)["state"] == (
        "issued"
    )
    assert bank.act(DEPOSITOR, "pledge", pledgee=BANK)["controller"] == BANK
    return wanted.total()


def test_what_is_stolen_of_pledged_goods_is_found_named_and_stops_the_receipt(bank: Bank) -> None:
    sofas = pledge(bank)
    assert sofas >= 48
    worth_minor = sofas * PRICE_MINOR
    bank.until(lambda: bank.base()["eligible_minor"] == worth_minor, "all of it to be lent on")
    assert bank.base()["base_minor"] == worth_minor // 2
    # Each carton, and not the tag on the wall.
    bank.until(lambda: bank.newest().get(("Sofa hall", "tags_present")) == sofas, "the hall's reader to be heard")
    silent = {("Gate", "tag_out"), ("Gate", "tag_in")}
    bank.until(lambda: {name for name, value in bank.newest().items() if value is None} == silent, "every sensor")
    time.sleep(4)  # twice the warehouse's grace: nothing is amiss, and nobody says so
    assert bank.cases() == {}
    assert bank.base()["ineligible"] == {}

    # Around the gate's reader: only the hall's own reader misses cartons, and what it says is named in the base.
    unread = bank.warehouse.steal(is_read=False)
    bank.until(lambda: "pieces_below" in bank.cases(), "a case about the hall", WITHIN_S * 3)
    bank.until(lambda: bank.base()["ineligible"].get("shortfall"), "the shortfall in the base", WITHIN_S)
    missing = {"shortfall": unread["pieces"] * PRICE_MINOR}
    bank.until(lambda: bank.base()["ineligible"] == missing, "every carton of it, and no more", WITHIN_S)
    case = bank.cases()["pieces_below"]
    assert (case["measured"], case["missing_milli"]) == (unread["pieces"], 1_000 * unread["pieces"])
    assert bank.receipt()["state"] == "pledged"
    (line,) = bank.get("/facilities/line")["lines"]
    assert case["case"] in json.dumps(line)

    # Past it: the receipt is frozen within seconds, and nothing is lent on it.
    read = bank.warehouse.steal(is_read=True)
    stolen_s = time.monotonic()
    bank.until(lambda: bank.receipt()["state"] == "frozen", "the receipt to be frozen", WITHIN_S)
    assert time.monotonic() - stolen_s < WITHIN_S
    bank.until(lambda: bank.base()["ineligible"] == {"receipt": worth_minor}, "nothing to be lent", WITHIN_S)
    left = [one for one in bank.events() if one["type"] == "goods_left"]
    (place,) = [line for line, goods in enumerate(bank.receipt()["goods"]) if goods["seal"] == read["seal"]]
    assert [(one["facts"]["gate"], one["facts"]["line"]) for one in left] == [(GATE, place)]
    assert abs(left[0]["at_ms"] - read["at_ms"]) < 5_000
    assert "goods_left" in bank.cases()
    alerts = [one for one in bank.get("/alerts") if one["rule"] == "goods-left"]
    assert [(one["severity"], one["state"], one["assets"]) for one in alerts] == [("critical", "open", [HALL])]

    # A surveyor counts: what is missing then is what the ledger of truth says, to the piece.
    stolen = bank.warehouse.thefts()
    taken = {one["seal"] for one in stolen}
    there = Counter[str]()
    for seal, (place_of_it, pieces) in bank.warehouse.loads().items():
        there[place_of_it] += 0 if seal in taken else pieces
    open_cases = {one["case"] for one in bank.cases().values()}
    tasks = {one["case"]: one["form"] for one in bank.get(f"/warehouses/{WAREHOUSE}/count-tasks?by={SURVEYOR}")}
    assert open_cases == tasks.keys()
    form = tasks[case["case"]] | {"at": iso(now_ms()), "photos": ["0f" * 32]}
    for row in form["rows"]:
        row["quantity_milli"] = there[row["bin"]] * 1_000
    answer = bank.post("/warehouses/counts", signed(SURVEYOR, form, key=KEYS[SURVEYOR]))
    assert set(answer["ended"]) == open_cases
    bank.act(BANK, "thaw", reason="counted")
    gone = sum(one["pieces"] for one in stolen)
    assert gone == unread["pieces"] + read["pieces"]
    bank.until(
        lambda: bank.base()["ineligible"] == {"shortfall": gone * PRICE_MINOR},
        "what is missing, to the piece",
        WITHIN_S,
    )
    assert bank.base()["eligible_minor"] == (sofas - gone) * PRICE_MINOR
    # What left by the gate was not found, so it is asked for again.
    assert bank.cases().keys() == {"count_below", "goods_left"}
