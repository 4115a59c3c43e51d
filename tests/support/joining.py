"""Banks' clouds as members of one registry, in the test's own process, and the way between them that can fail."""

import asyncio
import base64
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from builders import ManualClock
from receipting import NOON_MS, RECEIVED, WAREHOUSE, begins, signed, stated
from registering import document, line

from pledgewatch_cloud.api.problems import Problem
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.canonical import encode
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.pledged import pledged
from pledgewatch_cloud.decide.receipts.receipt import Receipt
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_cloud.decide.registry import request as request_module
from pledgewatch_cloud.decide.registry.request import Claiming, Request, UsingKeys, Withdrawing
from pledgewatch_cloud.journal.memory import MemoryStore
from pledgewatch_cloud.membership.client import AwayError, meaning
from pledgewatch_cloud.membership.marks_key import MarksKey
from pledgewatch_cloud.membership.membership import Membership
from pledgewatch_cloud.notices.senders import Senders
from pledgewatch_cloud.registry.app import Desk, answer
from pledgewatch_cloud.registry.kept import KeptBook, Signed
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_cloud.spine.writer import Writer

BOX = "MSKU1234565"
MARKS_TEXT = base64.b64encode(b"not a secret " * 3).decode()
MARKS_KEY = MarksKey(MARKS_TEXT)
NEXT_KEY = MarksKey(base64.b64encode(b"another one that is none " * 2).decode())


class Shared:
    """A registry over its file; `an_hour` is how often each member may claim."""

    def __init__(self, folder: Path, *, an_hour: int = 10_000) -> None:
        self.clock = ManualClock(NOON_MS)
        self.kept = KeptBook(folder)
        self.desk = Desk(self.kept, Senders(), _Always(an_hour), self.clock)
        if not self.kept.book.keys.key:
            self.use(MARKS_KEY.fingerprint)

    def use(self, key: str, next_key: str = "") -> None:
        """The operator says which keys are in use."""
        keys = UsingKeys(key, next_key)
        said = Signed("", uuid.uuid4().hex, 0, "", request_module.write(keys))
        self.kept.ask(said, keys, self.clock.now_ms(), 0)

    def live(self, member: str) -> set[str]:
        """The references of a member's live claims."""
        return {one.reference for one in self.kept.book.live(member)}


class _Always(dict[str, int]):
    def __init__(self, an_hour: int) -> None:
        super().__init__()
        self._an_hour = an_hour

    def __missing__(self, member: str) -> int:
        return self._an_hour


class Way:
    """A member's way to the registry. `fails`: how many of the next requests do not get there. Of questions alone,
    `drops`: of how many the answer gets lost; `slows`: how many are waited for no longer, and are `late`."""

    def __init__(self, shared: Shared, member: str) -> None:
        self._shared = shared
        self._member = member
        self.fails = 0
        self.drops = 0
        self.slows = 0
        self.asked: list[Request] = []
        self.late: list[Request] = []

    async def ask(self, asked: Request) -> dict[str, Any]:
        """See membership's Registry."""
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise AwayError("the way is cut")
        self.asked.append(asked)
        is_question = isinstance(asked, Claiming | Withdrawing)
        if self.slows and is_question:
            self.slows -= 1
            self.late.append(asked)
            raise AwayError("no whole answer in time")
        status, wait, said = self._answered(asked)
        await asyncio.sleep(0)
        if self.drops and is_question:
            self.drops -= 1
            raise AwayError("the answer is lost")
        return meaning(status, wait, said)

    def arrive(self) -> list[int]:
        """What was late gets there, in whichever order it is in; the status of each answer, which nobody hears."""
        found = [self._answered(one)[0] for one in self.late]
        self.late.clear()
        return found

    def _answered(self, asked: Request) -> tuple[int, str, bytes]:
        body = request_module.write(asked)
        try:
            response = answer(self._shared.desk, Signed(self._member, uuid.uuid4().hex, 0, "v1,-", body))
            return response.status_code, response.headers.get("retry-after", ""), bytes(response.body)
        except Problem as problem:
            return problem.status, "", encode({"detail": problem.detail})


class Cloud:
    """A bank's cloud with a register of receipts, and its membership under a name."""

    def __init__(self, shared: Shared, member: str, *keys: MarksKey, store: MemoryStore | None = None) -> None:
        self.member = member
        self.clock = ManualClock(NOON_MS)
        self.store = MemoryStore() if store is None else store
        self.spine = Spine(self.store, self.clock)
        if not self.spine.state.entry:
            self.spine.commit(drafts.amend, document())
        self.writer = Writer(self.spine, lambda _: None)
        self.way = Way(shared, member)
        self.shared = shared
        self.membership = self.joined(*keys)

    def joined(self, *keys: MarksKey) -> Membership:
        """A membership of this cloud, with these keys; as after a start."""
        self.membership = Membership(
            self.writer,
            self.way,
            keys or (MARKS_KEY,),
            clock=self.clock,
            look_every_s=3_600.0,
            claims_an_hour=10**9,
        )
        return self.membership

    def stock(self, *bins: str, warehouse: str = WAREHOUSE, pieces: int = 40) -> None:
        """So many pieces come into each bin, long before now."""
        came = {"kind": "received", "at": RECEIVED["from"], "unit": "piece", "quantity": str(pieces)}
        moves = [{"id": f"in-{warehouse}-{one}", "bin": one, "sku": line(one)["sku"], **came} for one in bins]
        source = f"stock-{warehouse}"
        taken = self.spine.commit(drafts.report, source, "json", encode({"movements": moves}), self.clock.now_ms())
        assert taken is not None

    def get(self, name: str) -> Receipt:
        """A receipt that is there."""
        found = self.spine.state.receipts.get(name)
        assert found is not None, f"no receipt {name}"
        return found

    def text(self, by: str, kind: str, receipt: str, **body: Any) -> str:
        """An act as it is handed in, after the newest on its receipt."""
        known = self.spine.state.receipts.get(receipt)
        head = known.head if known else ""
        at = iso(self.clock.now_ms())
        body = begins(kind, head, register_of(self.spine.state.journal)) | body
        return signed(by, {"act": kind, "receipt": receipt, "after": head, "by": by, "at": at, **body})

    async def do(self, by: str, kind: str, receipt: str, **body: Any) -> Receipt:
        """An act is taken; its receipt as it is then. Raises ActError, RegistryError."""
        outcome = await self.membership.commit_act(self.text(by, kind, receipt, **body), self.clock.now_ms())
        assert outcome is not None
        return self.get(receipt)

    async def issue(self, name: str, **more: Any) -> Receipt:
        """The warehouse issues a receipt for goods in a bin that is called as the receipt is."""
        by, _, own = name.partition(":")
        self.stock(own, warehouse=by)
        return await self.do(by, "issue", name, **stated(line(own, **more)))

    async def pledge(self, name: str, bank: str) -> Receipt:
        """Its holder pledges it."""
        return await self.do(self.get(name).holder, "pledge", name, pledgee=bank)

    async def release(self, name: str) -> Receipt:
        """Its pledgee releases all of it."""
        return await self.do(self.get(name).pledgee, "release", name)

    @property
    def wanted(self) -> set[str]:
        """The references of what is pledged here."""
        return {self.membership.reference(family) for family in pledged(self.spine.state.receipts)}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The membership's loop runs meanwhile."""
        task = asyncio.create_task(self.membership.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def settled(self) -> None:
        """Run the loop until there is nothing left to do."""
        async with self.running(), asyncio.timeout(60):
            while self.membership.standing.due or not self.membership.standing.looked_ms:
                await asyncio.sleep(0.001)
