"""A fleet that is retired by one amendment is put out beside the broker's lists: who is revoked meanwhile waits for
none of it, nor does who claims, who is answered once whoever was connected under the name is out."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from builders import book_document
from claiming import Claimant, ClaimCloud
from cryptography.hazmat.primitives.asymmetric import ec
from letting_in import ASSET, LOOK_S

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.identity_book import Identity, IdentityBook, Issued, Revoked
from pledgewatch_cloud.decide.items import assets
from pledgewatch_cloud.identity import putting_out
from pledgewatch_cloud.identity.broker_files import BrokerFiles
from pledgewatch_cloud.identity.putting_out import Ousting, PuttingOutError
from pledgewatch_cloud.identity.registrar import Asked, Registrar

TRUCKS = [f"truck-{number}" for number in range(3 * putting_out.AT_ONCE)]
SHORT_S, LONG_S = 0.5, 60.0


class Fleet:
    """A cloud with trucks and two boxes that have claimed, and a broker of which a truck is put out once it is let."""

    def __init__(self, folder: Path, patience_s: float) -> None:
        self.folder, self.cloud, self.out, self.busy, self.most = folder, ClaimCloud(folder), list[str](), 0, 0
        self.let = asyncio.Semaphore(0)
        self.cloud.cloud.spine.commit(drafts.amend, book_document(self.cloud.cloud.device))
        for number, name in enumerate([*TRUCKS, "box-1", "box-2"]):
            self.cloud.now_s += 60
            self.box = Claimant(name, seed=50 + number)
            self.cloud.claimed(self.box, self.cloud.invite(name, **ASSET))
        self.writer = self.cloud.cloud.writer
        named = {"cloud": "cloud", "health": ""}
        self.files = BrokerFiles(
            *(self.writer, self.cloud.authority, folder, self.cloud.world, self._reload),
            put_out=self._put_out,
            patience_s=patience_s,
            **named,  # type: ignore[arg-type]
        )
        self.registrar = Registrar(
            *(self.writer, self.cloud.authority, self.cloud.terms),
            clock=self.cloud.world,
            journal_clock=self.cloud.cloud.clock,
            known=self.files.known,
        )

    async def _reload(self) -> None:
        pass

    async def _put_out(self, operator: str, device: str) -> None:
        assert operator == "harbour-line"
        self.busy += 1
        self.most = max(self.most, self.busy)
        if device in TRUCKS:
            await self.let.acquire()
        else:
            await asyncio.sleep(0.1)
        self.busy -= 1
        self.out.append(device)

    def sold(self) -> None:
        """All trucks are retired by one amendment."""
        installed = self.writer.state.book.installations
        documents = [assets.as_document("installations", installed[name]) | {"retired": 1} for name in TRUCKS]
        self.cloud.cloud.spine.commit(drafts.amend, {"installations": documents})

    def let_out(self, number: int) -> None:
        """So many more trucks are put out."""
        for _ in range(number):
            self.let.release()

    def has(self, device: str) -> bool:
        return f"user {device}\n" in (self.folder / "acl").read_text(encoding="ascii")

    async def claim(self, name: str, code: str) -> None:
        """Noted when it is answered."""
        await self.registrar.claim(Asked(**Claimant(name, seed=20).claim(code)), "10.0.0.1")
        self.out.append("answered")


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONG_S):
        while not is_so():
            await asyncio.sleep(LOOK_S)


@contextlib.asynccontextmanager
async def going_out(folder: Path, patience_s: float = LONG_S) -> AsyncIterator[Fleet]:
    """The service's loop runs as it does there, and as many trucks as may are on their way out."""
    one = await asyncio.to_thread(Fleet, folder, patience_s)
    await one.files.keep()
    assert one.out == []
    one.sold()
    task = asyncio.create_task(one.files.run())
    try:
        await until(lambda: one.busy == putting_out.AT_ONCE)
        yield one
    finally:
        task.cancel()
        await asyncio.wait([task])
        one.cloud.cloud.close()


async def test_who_is_revoked_waits_for_no_fleet(tmp_path: Path) -> None:
    async with going_out(tmp_path) as fleet:
        answer = await asyncio.to_thread(fleet.cloud.post, "/devices/box-1/revocation", {"why": "stolen"})
        assert answer.status_code == 200
        assert await fleet.files.known(fleet.writer.state)
        assert not fleet.has("box-1")
        assert fleet.out == [], "the broker is told before any of them is out"
        fleet.let_out(1)
        await until(lambda: "box-1" in fleet.out)
        assert len(fleet.out) == 2, "and he is the next: the newest first"
        fleet.let_out(len(TRUCKS))
        await until(lambda: len(fleet.out) > len(TRUCKS))
        assert sorted(fleet.out) == sorted([*TRUCKS, "box-1"]), "each once"
        assert fleet.most == putting_out.AT_ONCE > 1


@pytest.mark.parametrize(("name", "replaces"), [("box-1", ""), ("box-3", "box-2")], ids=["card", "swap"])
async def test_who_claims_is_answered_after_whoever_was_connected_is_out_and_before_the_fleet(
    tmp_path: Path, name: str, replaces: str
) -> None:
    async with going_out(tmp_path) as fleet:
        place = {"replaces": replaces} if replaces else {}
        code = await asyncio.to_thread(fleet.cloud.invite, name, **place)
        task, before = asyncio.create_task(fleet.claim(name, code)), fleet.writer.state.entry
        await until(lambda: fleet.writer.state.entry > before)
        assert await fleet.files.known(fleet.writer.state)
        assert fleet.has(name)
        await asyncio.sleep(0.2)
        assert not task.done()
        fleet.let_out(1)
        await until(task.done)
        assert fleet.out[1:] == [replaces or name, "answered"]


async def test_who_claims_is_answered_in_time_though_nobody_can_be_put_out(tmp_path: Path) -> None:
    async with going_out(tmp_path, SHORT_S) as fleet:
        code = await asyncio.to_thread(fleet.cloud.invite, "box-1")
        await asyncio.wait_for(fleet.claim("box-1", code), LONG_S)
        assert fleet.out == ["answered"]


async def test_a_renewal_waits_for_nobody_to_be_put_out(tmp_path: Path) -> None:
    async with going_out(tmp_path) as fleet:
        key, one = ec.generate_private_key(ec.SECP256R1()), fleet.box
        await asyncio.wait_for(
            fleet.registrar.renew(**one.renewal(fleet.cloud.world.at_ms, key=key), address="10.0.0.9"), LONG_S / 2
        )
        assert fleet.out == []


async def test_who_could_not_be_put_out_is_tried_on_and_all_are_once_the_broker_is_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(putting_out, "AGAIN_S", 0.05)
    tried, out, is_there, busy, most = list[str](), list[str](), False, 0, 0

    async def put_out(_: str, device: str) -> None:
        tried.append(device)
        if not is_there or device == "never":
            raise PuttingOutError("nobody is there")
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.01)
        busy -= 1
        out.append(device)

    names = [f"box-{number}" for number in range(40)]
    gone = (Revoked("a1", 0, 1),)
    counted = (Issued("a1", 1, "", ""),)
    before = IdentityBook({}, {name: Identity(name, certificates=counted) for name in (*names, "never")})
    after = IdentityBook({}, {name: Identity(name, revoked=gone, revoked_ms=1) for name in (*names, "never")})
    book = SimpleNamespace(installations={})
    ousting = Ousting(put_out, lambda: None)
    ousting.look(SimpleNamespace(identities=before, book=book), 0)  # type: ignore[arg-type]
    ousting.look(SimpleNamespace(identities=after, book=book), 0)  # type: ignore[arg-type]
    assert ousting.is_waiting([names[0]])
    task = asyncio.create_task(ousting.run())
    async with asyncio.timeout(60):
        while len(tried) < len(names) + 4:
            await asyncio.sleep(0.01)
        assert sorted(tried[: len(names) + 1]) == sorted([*names, "never"]), "each once at first"
        assert not ousting.is_waiting(names), "nobody waits for a broker that is not there"
        is_there = True
        while len(out) < len(names):
            await asyncio.sleep(0.01)
        more = tried.count("never")
        while tried.count("never") < more + 2:
            await asyncio.sleep(0.01)
    assert sorted(out) == sorted(names)
    assert most >= putting_out.AT_ONCE, "one is tried, and then all"
    assert caplog.text.count("nobody is there") == 1
    task.cancel()
    await asyncio.wait([task])


async def test_who_could_not_be_put_out_and_is_to_be_anew_is_put_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(putting_out, "AGAIN_S", 0.05)
    tried, out, is_there = list[str](), list[str](), False

    async def put_out(_: str, device: str) -> None:
        tried.append(device)
        if not is_there:
            raise PuttingOutError("nobody is there")
        out.append(device)

    gone = Identity("box-1", revoked=(Revoked("a1", 0, 1),), revoked_ms=1)
    life = [
        Identity("box-1", certificates=(Issued("a1", 1, "", ""),)),
        gone,
        gone._replace(certificates=(Issued("a2", 2, "", ""),), revoked_ms=0),
    ]
    book = SimpleNamespace(installations={})
    first, revoked, anew = (SimpleNamespace(identities=IdentityBook({}, {"box-1": one}), book=book) for one in life)
    ousting = Ousting(put_out, lambda: None)
    ousting.look(first, 0)  # type: ignore[arg-type]
    ousting.look(revoked, 0)  # type: ignore[arg-type]
    task = asyncio.create_task(ousting.run())
    await until(lambda: len(tried) > 2)
    is_there = True
    ousting.look(anew, 0)  # type: ignore[arg-type]
    await until(lambda: bool(out))
    await asyncio.sleep(10 * putting_out.AGAIN_S)
    assert out == ["box-1"], "and who has come in again since, not once more"
    task.cancel()
    await asyncio.wait([task])
