"""Who is let in is answered once the broker knows: its files are written and it was told, or a short while has passed.

The broker is one that is told late, or cannot be told; the clock is the machine's own.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from builders import book_document
from claiming import Claimant, ClaimCloud, said_in

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.identity import broker_files
from pledgewatch_cloud.identity.broker_files import BrokerFiles, ReloadError
from pledgewatch_cloud.identity.registrar import Asked, Registrar

LATE_S, PATIENCE_S, SOON_S = 0.4, 1.0, 30.0


class Gate:
    """The registrar, and a broker that has what it read when it was last told, `late_s` after somebody began to."""

    def __init__(
        self, folder: Path, *, late_s: float = LATE_S, fails: bool = False, patience_s: float = SOON_S
    ) -> None:
        self.cloud = ClaimCloud(folder)
        self.cloud.cloud.spine.commit(drafts.amend, book_document(self.cloud.cloud.device))
        self.folder, self.late_s, self.fails = folder, late_s, fails
        self.tellings, self.access = 0, ""
        writer = self.cloud.cloud.writer
        self.files = BrokerFiles(
            *(writer, self.cloud.authority, folder, self.cloud.world, self._tell),
            cloud="cloud",
            health="",
            patience_s=patience_s,
        )
        self.registrar = Registrar(
            *(writer, self.cloud.authority, self.cloud.terms),
            clock=self.cloud.world,
            journal_clock=self.cloud.cloud.clock,
            known=self.files.known,
        )

    async def _tell(self) -> None:
        await asyncio.sleep(self.late_s)
        if self.fails:
            raise ReloadError("nobody is there")
        self.tellings += 1
        self.access = (self.folder / "acl").read_text(encoding="ascii")

    def knows(self, device: str) -> bool:
        return f"user {device}\n" in self.access

    async def invited(self, device: str) -> str:
        place: dict[str, Any] = {"operator": "harbour-line", "asset": "asset-container-1", "replaces": ""}
        invited = await self.registrar.invite(
            device, **place, valid_h=1, settings="", by="keeper", commits=self.cloud.cloud.writer
        )
        return str(said_in(invited.claim)["code"])

    async def claim(self, one: Claimant, code: str) -> dict[str, Any]:
        answer = await self.registrar.claim(Asked(**one.claim(code)), f"10.0.0.{one.name[-1]}")
        one.certificate, one.epoch = answer["certificate"], answer["epoch"]
        return answer

    async def renew(self, one: Claimant) -> dict[str, Any]:
        how = one.renewal(self.cloud.world.at_ms)
        return await self.registrar.renew(**how, address="10.0.0.9")


@contextlib.asynccontextmanager
async def keeping(gate: Gate) -> AsyncIterator[Gate]:
    """The service's loop runs as it does there, and has told the broker of the beginning."""
    task = asyncio.create_task(gate.files.run())
    try:
        yield gate
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        gate.cloud.cloud.close()


async def timed(asking: Awaitable[Any]) -> float:
    begun = time.monotonic()
    await asking
    return time.monotonic() - begun


async def settled(gate: Gate) -> None:
    """Until the broker knows all, and may be told again at once."""
    assert await gate.files.known(gate.cloud.cloud.writer.state)
    await asyncio.sleep(1.2 * broker_files.LOOK_EVERY_S)


async def test_a_claim_is_answered_once_the_broker_knows_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(Gate(tmp_path)) as gate:
        code = await gate.invited("box-1")
        await settled(gate)
        look_s = broker_files.LOOK_EVERY_S
        monkeypatch.setattr(broker_files, "LOOK_EVERY_S", 60.0)
        await asyncio.sleep(1.2 * look_s)  # the next look of its own is a minute away
        one = Claimant("box-1", seed=21)
        took_s = await timed(gate.claim(one, code))
        assert gate.knows("box-1"), "what it is given is good at once"
        assert LATE_S <= took_s < SOON_S


async def test_a_renewal_is_answered_once_the_broker_was_told(tmp_path: Path) -> None:
    async with keeping(Gate(tmp_path)) as gate:
        one = Claimant("box-1", seed=21)
        await gate.claim(one, await gate.invited("box-1"))
        before = gate.tellings
        took_s = await timed(gate.renew(one))
        assert gate.tellings > before
        assert LATE_S <= took_s < SOON_S


async def test_who_asks_for_the_answer_again_does_not_wait_for_it_again(tmp_path: Path) -> None:
    async with keeping(Gate(tmp_path)) as gate:
        one, code = Claimant("box-1", seed=21), await gate.invited("box-1")
        answer = await gate.claim(one, code)
        before = gate.tellings
        assert await gate.claim(one, code) == answer
        assert gate.tellings == before


@pytest.mark.parametrize("broken", ["told", "written"])
async def test_a_broker_that_cannot_be_told_keeps_nobody_from_an_identity(tmp_path: Path, broken: str) -> None:
    async with keeping(Gate(tmp_path, late_s=0.0, fails=broken == "told", patience_s=PATIENCE_S)) as gate:
        if broken == "written":
            await settled(gate)
            for name in ("acl", "crl.pem"):
                (tmp_path / name).unlink(missing_ok=True)
                (tmp_path / name).mkdir()
        one, code = Claimant("box-1", seed=21), await gate.invited("box-1")
        took_s = await timed(gate.claim(one, code))
        assert PATIENCE_S <= took_s < SOON_S / 2
        assert len(gate.cloud.cloud.writer.state.identities.of("box-1").certificates) == 1


async def test_who_waits_holds_up_nobody(tmp_path: Path) -> None:
    patience_s = 3 * PATIENCE_S  # of the first, until the last of all has asked
    async with keeping(Gate(tmp_path, late_s=30.0, patience_s=patience_s)) as gate:
        some = [Claimant(f"box-{number}", seed=20 + number) for number in range(8)]
        codes = [await gate.invited(one.name) for one in some]
        waiting = [asyncio.create_task(timed(gate.claim(*both))) for both in zip(some, codes, strict=True)]
        while len(gate.cloud.cloud.writer.state.identities.identities) < len(some):
            await asyncio.sleep(0.01)
        assert not any(one.done() for one in waiting)
        assert await timed(gate.invited("box-9")) < patience_s / 2, "the journal takes what others ask for"
        assert await timed(asyncio.to_thread(time.monotonic)) < patience_s / 2, "and there are threads for them"
        assert not any(one.done() for one in waiting)
        for took_s in await asyncio.gather(*waiting):
            assert took_s < 4 * patience_s, "they wait beside each other"


async def test_many_who_come_at_once_are_told_of_together(tmp_path: Path) -> None:
    async with keeping(Gate(tmp_path, late_s=0.0)) as gate:
        some = [Claimant(f"box-{number}", seed=20 + number) for number in range(8)]
        codes = [await gate.invited(one.name) for one in some]
        await settled(gate)
        before, begun = gate.tellings, time.monotonic()
        await asyncio.gather(*(gate.claim(*both) for both in zip(some, codes, strict=True)))
        most = 2 + (time.monotonic() - begun) / broker_files.LOOK_EVERY_S
        assert all(gate.knows(one.name) for one in some)
        assert gate.tellings - before <= most, "once a second at most"


async def test_where_the_cloud_sees_to_no_broker_nothing_waits(tmp_path: Path) -> None:
    cloud = ClaimCloud(tmp_path)
    cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))
    code = await asyncio.to_thread(cloud.invite, "box-1", operator="harbour-line", asset="asset-container-1")
    ask: Callable[..., Any] = cloud.claimed
    assert await timed(asyncio.to_thread(ask, Claimant("box-1", seed=21), code)) < PATIENCE_S
    cloud.cloud.close()
