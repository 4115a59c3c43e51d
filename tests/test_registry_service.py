"""A registry and two banks' clouds as real processes: goods pledged at one are refused at the other; killed at any
moment, nothing that was answered is lost, and what a member claims comes to what is pledged there."""

import asyncio
import contextlib
import dataclasses
import hashlib
import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from random import SystemRandom
from typing import Any

import pytest
from authority import Authority
from connecting import ASK, answer
from joining import BOX, MARKS_KEY, MARKS_TEXT
from receipting import (
    AFFILIATE,
    BANK,
    BUYER,
    DEPOSITOR,
    OTHER_BANK,
    WAREHOUSE,
    begins,
    signed,
    stated,
)
from registering import HAD, document, line
from station import Process

from pledgewatch_cloud.clock import SystemClock
from pledgewatch_cloud.config import ApiSettings
from pledgewatch_cloud.decide.canonical import encode
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.claims import Claim
from pledgewatch_cloud.decide.registry.claim_book import State
from pledgewatch_cloud.decide.registry.request import Claiming, Withdrawing
from pledgewatch_cloud.membership.client import AwayError, Client
from pledgewatch_cloud.outbox.webhook import Tls
from pledgewatch_cloud.registry.kept import FILE_NAME, KeptBook
from pledgewatch_cloud.registry.settings import ListenSettings
from pledgewatch_cloud.serving_settings import ServingSettings
from pledgewatch_cloud.signature import Key
from pledgewatch_cloud.spoken import HEAD_MAX
from pledgewatch_sim.programs import free_port

DAY_MS = 86_400_000
BEGUN_MS = SystemClock().now_ms()
RECEIVED = {"from": iso(BEGUN_MS - 2 * DAY_MS), "until": iso(BEGUN_MS - DAY_MS)}
UNTIL = iso(BEGUN_MS + 90 * DAY_MS)
ONE, TWO = "bank-one", "bank-two"
SECRETS = {ONE: f"whsec_{'x' * 40}", TWO: f"whsec_{'y' * 40}"}
OTHER_BOX, THIRD_BOX = "CSQU3054383", "MSKU9070323"
SEED = SystemRandom().randrange(2**32)  # another each time; a failure prints it


def until(condition: Callable[[], Any], what: Callable[[], str], timeout_s: float = 60) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"seed {SEED}: {what()}"
        time.sleep(0.02)


class Program:
    """One of our programs that answers at a port."""

    def __init__(self, name: str, folder: Path, arguments: list[str], configuration: str, health: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._health = health
        path = folder / f"{name}.toml"
        path.write_text(configuration.replace("PORT", str(self.port)), encoding="utf-8")
        self.process = Process(name, ["pledgewatch_cloud", *arguments, "--config", str(path)], folder)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process.start()
        until(self.answers, self.process.log)

    def answers(self) -> bool:
        """Whether it does."""
        assert self.process.alive, self.process.log()
        with contextlib.suppress(OSError):
            return self.call("GET", self._health)[0] == 200
        return False

    def call(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/jose"
    ) -> tuple[int, Any]:
        """A request; its status, and the JSON that it is answered with."""
        address = f"http://127.0.0.1:{self.port}{path}"
        asked = urllib.request.Request(address, body, {"content-type": kind}, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


class Registry(Program):
    """A registry of both banks."""

    def __init__(self, folder: Path, more: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        members = ""
        for member, secret in SECRETS.items():
            (folder / f"{member}.secret").write_text(secret, encoding="ascii")
            members += (
                f'[[members]]\nid = "{member}"\nsecret_files = ["{member}.secret"]\nquestions_an_hour = 1000000\n'
            )
        super().__init__(
            "registry",
            folder,
            ["registry", "serve"],
            f'[service]\ndata_folder = "data"\n[listen]\nport = PORT\n{more}'
            f'[marks]\nkey = "{MARKS_KEY.fingerprint}"\n{members}',
            "/healthz",
        )

    def client(self, member: str) -> Client:
        """A member that asks for itself."""
        keys, url = (Key(SECRETS[member]),), f"http://127.0.0.1:{self.port}"
        return Client(url, member, keys, SystemClock(), timeout_s=5, tls=Tls(), allow_private=True)

    @property
    def live(self) -> dict[str, set[str]]:
        """The references of live claims by member, from the file."""
        kept = KeptBook(self.folder / "data", read_only=True)
        kept.close()
        return {member: {one.reference for one in kept.book.live(member)} for member in SECRETS}


class Bank(Program):
    """A bank's cloud: a register of receipts, a member of the registry."""

    def __init__(self, folder: Path, member: str, registry: Registry, bins: list[str]) -> None:
        folder.mkdir(parents=True)
        (folder / "member.secret").write_text(SECRETS[member], encoding="ascii")
        (folder / "marks.key").write_text(MARKS_TEXT, encoding="ascii")
        (folder / "book.json").write_text(json.dumps(document()), encoding="utf-8")
        self.member = member
        self._bins = bins
        super().__init__(
            "cloud",
            folder,
            ["run"],
            f'[service]\ndata_folder = "data"\n[broker]\nembedded = true\nport = 0\n[ingest]\ntick_s = 1.0\n'
            f'[api]\nport = PORT\n[book]\nfiles = ["book.json"]\n[stock]\ndrop_folder = "drop"\nlook_every_s = 0.1\n'
            f'[registry]\nurl = "http://127.0.0.1:{registry.port}"\nmember = "{member}"\n'
            'secret_files = ["member.secret"]\nmarks_key_files = ["marks.key"]\nallow_private_networks = true\n'
            "look_every_s = 1.0\nclaims_an_hour = 1000000\n",
            "/healthz",
        )

    def stock(self) -> None:
        """What lies in the bins is reported, and known."""
        came = {"kind": "received", "at": RECEIVED["from"], "unit": "piece", "quantity": "40"}
        moves = [{"id": f"in-{one}", "bin": one, "sku": line(one)["sku"], **came} for one in self._bins]
        drop = self.folder / "drop" / f"stock-{WAREHOUSE}"
        drop.mkdir(parents=True, exist_ok=True)
        (drop / "stock.tmp").write_bytes(encode({"movements": moves}))
        (drop / "stock.tmp").rename(drop / "stock.json")
        until(lambda: self.call("GET", "/stock")[1]["goods"], self.process.log)

    def act(self, by: str, kind: str, receipt: str, **body: Any) -> tuple[int, Any]:
        """Hand in an act after the newest on its receipt; status and answer."""
        status, known = self.call("GET", f"/receipts/{receipt}")
        head = known["head"] if status == 200 else ""
        register = self.call("GET", "/receipts/register")[1]["register"]
        body = begins(kind, head, register) | body
        says = {"act": kind, "receipt": receipt, "after": head, "by": by, "at": iso(SystemClock().now_ms()), **body}
        return self.call("POST", "/receipts/acts", signed(by, says).encode())

    def do(self, by: str, kind: str, receipt: str, **body: Any) -> Any:
        """An act is taken; its receipt then."""
        status, answer = self.act(by, kind, receipt, **body)
        assert status == 201, answer
        return answer["receipt"]

    def issue(self, own: str, **more: Any) -> str:
        """A receipt for what lies in a bin of its name; what the receipt is called."""
        name = f"{WAREHOUSE}:{own}"
        self.do(WAREHOUSE, "issue", name, **(stated(line(own, **more), received=RECEIVED) | {"until": UNTIL}))
        return name

    def assert_refused(self, by: str, receipt: str, bank: str) -> dict[str, Any]:
        """Goods are not pledged, for they are claimed at the registry; nobody is named."""
        status, answer = self.act(by, "pledge", receipt, pledgee=bank)
        assert status == 409, answer
        assert set(answer) == {"type", "title", "status", "detail", "why", "cure", "registry_clash"}
        told = json.dumps(answer)
        assert not any(word in told for word in (ONE, TWO, WAREHOUSE, DEPOSITOR, AFFILIATE, BOX, "SOFA"))
        assert self.call("GET", f"/receipts/{receipt}")[1]["state"] == "issued"
        found: dict[str, Any] = answer
        return found

    @property
    def standing(self) -> Any:
        """How the registry stands to this cloud's receipts."""
        return self.call("GET", "/registry")[1]

    def settled(self, registry: Registry, count: int) -> None:
        """Wait until the registry holds so many claims of this cloud, and none is due."""
        until(
            lambda: len(registry.live[self.member]) == count and self.standing["due"] == 0,
            lambda: f"{registry.live}, {self.standing}\n{self.process.log()[-3_000:]}",
        )


class World:
    """A registry and two clouds."""

    def __init__(self, folder: Path) -> None:
        self.registry = Registry(folder / "registry")
        bins = [f"{name}-{number}" for name in ("box", "bulk", "split", "round", "kill") for number in range(12)]
        self.one = Bank(folder / "one", ONE, self.registry, bins)
        self.two = Bank(folder / "two", TWO, self.registry, bins)

    def open(self) -> None:
        """Start all."""
        self.registry.start()
        for bank in (self.one, self.two):
            bank.start()
            bank.stock()

    def close(self) -> None:
        """End what still runs."""
        for program in (self.one, self.two, self.registry):
            if program.process.alive:
                program.process.kill()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    found = World(tmp_path_factory.mktemp("world"))
    try:
        found.open()
        yield found
    finally:
        found.close()


def test_a_container_pledged_at_one_bank_is_refused_at_the_other_until_it_is_released(world: World) -> None:
    one, two = world.one, world.two
    mine, theirs = one.issue("box-1", container=BOX), two.issue("box-2", container=BOX)
    held = len(world.registry.live[ONE])
    assert one.do(DEPOSITOR, "pledge", mine, pledgee=BANK)["state"] == "pledged"
    clash = two.assert_refused(DEPOSITOR, theirs, OTHER_BANK)["registry_clash"]
    for bank, receipt in ((one, mine), (two, theirs)):
        until(lambda bank=bank: bank.standing["clashes"], one.process.log)  # type: ignore[misc]
        assert [(seen["clash"], seen["receipt"]) for seen in bank.standing["clashes"]] == [(clash, receipt)]
    assert clash in one.process.log()
    one.do(BANK, "release", mine)
    one.settled(world.registry, held)
    assert two.do(DEPOSITOR, "pledge", theirs, pledgee=OTHER_BANK)["state"] == "pledged"
    assert one.act(DEPOSITOR, "pledge", mine, pledgee=BANK)[0] == 409


def test_parts_of_a_split_are_pledged_here_and_the_whole_at_no_other_bank(world: World) -> None:
    one, two = world.one, world.two
    mine, theirs = one.issue("split-1"), two.issue("split-1")
    one.do(DEPOSITOR, "split", mine, into_milli=[[HAD // 4], [HAD - HAD // 4]])
    for part in (f"{mine}.1", f"{mine}.2"):
        assert one.do(DEPOSITOR, "pledge", part, pledgee=BANK)["state"] == "pledged"
    two.assert_refused(DEPOSITOR, theirs, OTHER_BANK)
    two.do(DEPOSITOR, "split", theirs, into_milli=[[HAD // 4], [HAD - HAD // 4]])
    two.assert_refused(DEPOSITOR, f"{theirs}.2", OTHER_BANK)


def test_goods_that_were_sold_to_an_affiliate_and_back_are_still_pledged(world: World) -> None:
    one, two = world.one, world.two
    mine, theirs = one.issue("round-1", container=OTHER_BOX), two.issue("round-2", container=OTHER_BOX)
    two.do(DEPOSITOR, "transfer", theirs, to=AFFILIATE)
    one.do(DEPOSITOR, "pledge", mine, pledgee=BANK)
    two.assert_refused(AFFILIATE, theirs, OTHER_BANK)
    two.do(AFFILIATE, "transfer", theirs, to=DEPOSITOR)
    two.assert_refused(DEPOSITOR, theirs, OTHER_BANK)
    two.do(DEPOSITOR, "transfer", theirs, to=BUYER)
    two.assert_refused(BUYER, theirs, OTHER_BANK)


def test_while_the_registry_is_away_nothing_is_pledged_and_a_release_is_made_good_later(world: World) -> None:
    one, registry = world.one, world.registry
    first, second = one.issue("bulk-1"), one.issue("bulk-2")
    one.do(DEPOSITOR, "pledge", first, pledgee=BANK)
    held = len(registry.live[ONE])
    registry.process.kill()
    status, answer = one.act(DEPOSITOR, "pledge", second, pledgee=BANK)
    assert status == 503
    assert answer["cure"] == "nothing is done without it: try again when it answers"
    assert one.do(BANK, "release", first)["state"] == "released"
    until(lambda: one.standing["fault"], one.process.log)
    registry.start()
    one.settled(registry, held - 1)
    assert one.standing["fault"] == ""
    assert one.do(DEPOSITOR, "pledge", second, pledgee=BANK)["state"] == "pledged"


def test_a_cloud_that_is_killed_while_it_pledges_comes_back_to_claims_that_are_true(world: World) -> None:
    two, registry = world.two, world.registry
    names = [two.issue(f"kill-{number}") for number in range(4)]
    dice = SystemRandom()
    for name in names:
        if not two.process.alive:
            two.start()
        with contextlib.suppress(OSError, http.client.HTTPException):
            two.call("GET", "/status")
        asyncio.run(_pledged_and_killed(two, name, dice.uniform(0.0, 0.06)))
    two.start()
    listed = two.call("GET", "/receipts?pledgee=bank-two&limit=1000")[1]["receipts"]
    families = {one["id"].partition(".")[0] for one in listed}
    two.settled(registry, len(families))
    assert two.standing["claimed"] == len(families)
    for name in names:  # either way it can be pledged now
        if two.call("GET", f"/receipts/{name}")[1]["state"] == "issued":
            assert two.do(DEPOSITOR, "pledge", name, pledgee=OTHER_BANK)["state"] == "pledged"


async def _pledged_and_killed(bank: Bank, name: str, after_s: float) -> None:
    async def pledged() -> None:
        # An answer may be cut off behind its head, too.
        with contextlib.suppress(OSError, http.client.HTTPException):
            await asyncio.to_thread(bank.act, DEPOSITOR, "pledge", name, pledgee=OTHER_BANK)

    task = asyncio.create_task(pledged())
    await asyncio.sleep(after_s)
    await asyncio.to_thread(bank.process.kill)
    await task


def test_the_registrys_folder_shows_nothing_of_goods_receipts_or_parties(world: World) -> None:
    one = world.one
    receipt = one.issue("bulk-3", container=THIRD_BOX, seal="CN04501B", device="door-17")
    one.do(DEPOSITOR, "pledge", receipt, pledgee=BANK)
    written = b"".join(path.read_bytes() for path in (world.registry.folder / "data").iterdir())
    assert ONE.encode() in written  # it is the right folder
    for word in (THIRD_BOX, "CN04501B", "door-17", receipt, "bulk-3", "SOFA", WAREHOUSE, DEPOSITOR, "container:"):
        assert word.encode() not in written
        for plain in (word, f"container:{word}".casefold(), f"container:{word}"):
            assert hashlib.sha256(plain.encode()).hexdigest().encode() not in written
    assert MARKS_KEY.marks([Claim("container", THIRD_BOX)])[0].encode() in written  # and who has the key can tell


async def test_a_registry_that_is_killed_again_and_again_loses_nothing_it_has_answered(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.start()
    answered: dict[tuple[str, str], str] = {}
    answers = 0
    stop = asyncio.Event()

    async def answered_again(times: int) -> None:
        """However long it takes: a slow machine answers less in a second, and that is no less of a proof."""
        enough = answers + times
        async with asyncio.timeout(120):
            while answers < enough:
                await asyncio.sleep(0.01)

    async def member(name: str) -> None:
        nonlocal answers
        dice, number = SystemRandom(), 0
        async with registry.client(name) as client:
            while not stop.is_set():
                number += 1
                goods, reference = dice.randrange(200), hashlib.sha256(f"{name}{number % 40}".encode()).hexdigest()
                marks = {MARKS_KEY.fingerprint: MARKS_KEY.marks([Claim("container", str(goods))])}
                is_given_up = dice.random() < 0.3
                asked = Withdrawing(number, reference) if is_given_up else Claiming(number, reference, marks)
                answered.pop((name, reference), None)
                try:
                    word = (await client.ask(asked))["answer"]
                except AwayError:
                    await asyncio.sleep(0.02)
                    continue
                answers += 1
                if word != "clash":  # a clash leaves what was claimed before
                    answered[name, reference] = word

    tasks = [asyncio.create_task(member(name)) for name in SECRETS]
    try:
        for _ in range(3):
            await answered_again(40)
            await asyncio.sleep(SystemRandom().uniform(0, 0.05))
            await asyncio.to_thread(registry.process.kill)
            await asyncio.to_thread(registry.start)
        await answered_again(40)
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        registry.process.kill()
    kept = KeptBook(tmp_path / "data")
    kept.close()
    assert len(answered) >= 20
    for (name, reference), word in answered.items():
        found = kept.book.get(name, reference)
        assert (State.WITHDRAWN if found is None else found.state) == word
    live = [marks for one in kept.book.live() for _, some in one.marks for marks in some]
    assert len(live) == len(set(live)) == kept.book.claimed_by.count
    assert (tmp_path / "data" / FILE_NAME).exists()


async def test_a_registry_speaks_tls_with_members_that_know_its_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("registry")
    registry = Registry(tmp_path, 'certificate_file = "registry.pem"\nkey_file = "registry.key"\n')
    registry.process.start()
    try:
        keys, url = (Key(SECRETS[ONE]),), f"https://127.0.0.1:{registry.port}/"
        tls = Tls(tmp_path / "ca.pem")
        async with Client(url, ONE, keys, SystemClock(), timeout_s=5, tls=tls, allow_private=True) as client:
            deadline = time.monotonic() + 60
            found = None
            while found is None:
                assert time.monotonic() < deadline, registry.process.log()
                with contextlib.suppress(AwayError):
                    found = await client.ask(Withdrawing(1, "0" * 64))
            assert found == {"answer": "withdrawn", "changed": False}
        async with Client(url, ONE, keys, SystemClock(), timeout_s=5, tls=Tls(), allow_private=True) as stranger:
            with pytest.raises(AwayError, match="cannot be reached"):
                await stranger.ask(Withdrawing(2, "0" * 64))
        plain = Client(url.replace("https", "http"), ONE, keys, SystemClock(), timeout_s=5, tls=tls, allow_private=True)
        async with plain as nobody:
            with pytest.raises(AwayError):
                await nobody.ask(Withdrawing(3, "0" * 64))
    finally:
        registry.process.kill()


def test_a_registry_has_its_folder_to_itself_and_does_not_start_over_a_damaged_file(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.start()
    second = Process(
        "second", ["pledgewatch_cloud", "registry", "serve", "--config", str(tmp_path / "registry.toml")], tmp_path
    )
    (tmp_path / "registry.toml").write_text(
        (tmp_path / "registry.toml").read_text().replace(f"port = {registry.port}", "port = 0")
    )
    second.start()
    until(lambda: not second.alive, second.log)
    assert "in use by another" in second.log()
    registry.process.kill()
    path = tmp_path / "data" / FILE_NAME
    kept = KeptBook(tmp_path / "data")
    kept._connection.execute("UPDATE asked SET answer = '{}' WHERE number = 1")
    kept.close()
    assert path.exists()
    registry.process.start()
    until(lambda: not registry.process.alive, registry.process.log)
    assert "the journal is damaged: entry 1" in registry.process.log()


def test_a_registry_has_the_bounds_of_the_api_as_they_are_configured(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "connections_max = 3\nconnections_per_address = 2\n")
    registry.start()
    try:
        with contextlib.ExitStack() as stack:

            def connect(of: str = "127.0.0.1") -> socket.socket:
                made = socket.create_connection(("127.0.0.1", registry.port), timeout=10, source_address=(of, 0))
                return stack.enter_context(made)

            own = [connect(), connect()]
            until(lambda: answer(connect()).startswith(b"HTTP/1.1 429 "), registry.process.log)
            stack.enter_context(connect("127.0.0.2"))
            until(lambda: answer(connect("127.0.0.3")).startswith(b"HTTP/1.1 503 "), registry.process.log)
            long = answer(own[0], b"POST /requests HTTP/1.1\r\nA: " + b"a" * (2 * HEAD_MAX))
            assert long.startswith(b"HTTP/1.1 431 ")
            own[1].sendall(ASK * 3_000)
            assert own[1].recv(2**16).startswith(b"HTTP/1.1 200 ")
        log = registry.process.log()
        assert "127.0.0.1 has 2 connections, the most of one address ([listen] connections_per_address)" in log
        assert "3 connections, the most that there may be ([listen] connections_max)" in log
        until(registry.answers, registry.process.log)
    finally:
        registry.process.kill()


def test_a_registry_is_configured_as_the_api_is() -> None:
    here, there = ListenSettings(), ApiSettings()
    for name in (one.name for one in dataclasses.fields(ServingSettings) if one.name != "port"):
        assert getattr(here, name) == getattr(there, name), name
    with pytest.raises(ValueError, match="connections_max is 0"):
        ListenSettings(connections_max=0)
    with pytest.raises(ValueError, match="port is 65536"):
        ListenSettings(port=65_536)
