"""Goods are claimed at the registry before they are pledged here, and given up there when they are pledged no more.

    an act that may pledge goods ─► judged ─► claimed at the registry ─► committed ─► what is claimed is settled
                                     └ refused  └ clash, or away: refused          └ refused: given up again

What is to be claimed always follows from the receipts as they stand, so settling is one thing whatever has happened: a
family's claim is made what its receipts say. It is done for a family after each of its acts, and for all of them at the
start and every now and then. Acts that may pledge goods and all that is asked of the registry go one after the other,
so a claim that is not committed yet is never taken for one too many.

Whatever changes something there has a turn, and turns only rise; the registry does nothing by one that comes in after
a later one. So a request that nobody waits for any more cannot undo what was asked since. Where a request of ours is
overtaken, something else asks in this name, or did before a restart: then all is looked at again.

What is claimed there and unknown here, because the journal is another one, is left alone and told: a claim too many
refuses a loan, a claim too few may lend twice on the same goods.
"""

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.batch import SignedAct
from pledgewatch_cloud.decide.receipts import act as act_module
from pledgewatch_cloud.decide.receipts.claims import Claim
from pledgewatch_cloud.decide.receipts.pledged import CLAIMING, families, family_of, pledged, pledged_of
from pledgewatch_cloud.decide.receipts.receipt_book import ReceiptBook
from pledgewatch_cloud.decide.registry.request import (
    Claiming,
    ListingClaims,
    ListingClashes,
    Request,
    Withdrawing,
    digest_of,
)
from pledgewatch_cloud.decide.step import Outcome
from pledgewatch_cloud.decide.warehouse import handed_in
from pledgewatch_cloud.membership.client import AwayError, OvertakenError, RegistryError
from pledgewatch_cloud.membership.marks_key import MarksKey
from pledgewatch_cloud.outage import Outage
from pledgewatch_cloud.spine.writer import Writer

RETRY_S = 5.0
_AFTER_ALL = "f" * 64
_NO_REGISTRY = "what is there does not answer as a registry does"
_TOLD_MAX = 10_000
log = logging.getLogger(__name__)


class ClashError(RegistryError):
    """Goods are claimed by another, or under another name."""

    def __init__(self, clash: str) -> None:
        super().__init__(
            f"these goods are claimed at the registry already: clash {clash}",
            "whoever claims them has been given the same id of the clash: look there, or ask the other members",
        )
        self.clash = clash


class Registry(Protocol):
    """Where requests are answered; see Client."""

    async def ask(self, asked: Request) -> dict[str, Any]:
        """The answer. Raises RegistryError."""
        ...


class SeenClash(NamedTuple):
    """A clash in which a claim of ours is: the family's first receipt, and whether ours was the one refused."""

    id: str
    receipt: str
    is_refused: bool
    newest_at: str


class RegistryStanding(NamedTuple):
    """How the registry stands to the receipts, by the last look at all of it.

    `fault` says what keeps it from being looked at, empty where nothing does; `clashing` are families that are pledged
    here without a claim there, with the clash; `refused` those that it refused for another reason; `due` how many have
    still to be settled; `strange` how many claims there are of receipts that this journal does not have.
    """

    looked_ms: int = 0
    fault: str = ""
    claimed: int = 0
    due: int = 0
    strange: int = 0
    clashing: Mapping[str, str] = {}
    refused: Mapping[str, str] = {}
    clashes: tuple[SeenClash, ...] = ()


class Membership:
    """What this cloud claims at a registry. Its loop is `run`."""

    def __init__(
        self,
        writer: Writer,
        registry: Registry,
        keys: Sequence[MarksKey],
        *,
        clock: Clock,
        look_every_s: float,
        claims_an_hour: int,
    ) -> None:
        """`keys` are those that the members share, one or two."""
        self._writer = writer
        self._clock = clock
        self._registry = registry
        self._keys = tuple(keys)
        self._look_every_s = look_every_s
        self._pause_s = 3_600 / claims_an_hour
        self._lock = asyncio.Lock()
        self._woken = asyncio.Event()
        self._due: dict[str, None] = {}
        # The turn of the newest request; 0 where it has to be asked for.
        self._turn = 0
        # What the registry holds of each family, as a digest by key; or the turn of a request that was not answered.
        self._held: dict[str, dict[str, str] | int] = {}
        self._told: set[str] = set()
        self._away = Outage(log, "nothing can be pledged", "the registry answers again")
        self._next_claim_s = 0.0
        self._next_look_s = 0.0
        self._standing = RegistryStanding()

    @property
    def standing(self) -> RegistryStanding:
        """How the registry stands to the receipts."""
        claimed = sum(not isinstance(held, int) for held in self._held.values())
        return self._standing._replace(due=len(self._due), claimed=claimed)

    async def commit_act(self, text: str, heard_ms: int) -> Outcome | None:
        """Commit an act; where it may pledge goods, they are claimed first. None where it says nothing new.

        Raises ActError where the act is refused, RegistryError where its goods cannot be claimed, StoreError.
        """
        act = act_module.read(text)
        if act.kind not in CLAIMING:
            try:
                return await self._writer.commit(drafts.act, text, heard_ms)
            finally:
                receipts = self._writer.state.receipts
                if receipts.get(act.receipt) is not None:
                    self._settle_soon(family_of(receipts, act.receipt))
        async with self._lock:
            state = self._writer.state
            after = handed_in.acted(state, SignedAct(text, heard_ms))
            if after is state.receipts:
                return None
            family = family_of(after, act.receipt)
            claims = pledged_of(state.receipts, family) | pledged_of(after, family)
            try:
                if claims:
                    await self._claim(family, claims)
                return await self._writer.commit(drafts.act, text, heard_ms)
            finally:
                self._settle_soon(family)

    async def run(self) -> None:
        """Keep the registry's claims equal to the receipts, for ever."""
        self._next_look_s = time.monotonic()
        while True:
            wait_s = RETRY_S
            self._woken.clear()
            try:
                if time.monotonic() >= self._next_look_s:
                    await self._look()
                await self._settle_due()
                self._away.back()
                self._standing = self._standing._replace(fault="")
                wait_s = self._next_look_s - time.monotonic()
                if self._due:
                    wait_s = min(wait_s, self._next_claim_s - time.monotonic())
            except RegistryError as error:
                self._away.lost(error.why)
                self._standing = self._standing._replace(fault=error.why)
                await asyncio.sleep(RETRY_S)
                continue
            try:
                async with asyncio.timeout(max(wait_s, 0.0)):
                    await self._woken.wait()
            except TimeoutError:
                continue

    def _settle_soon(self, family: str) -> None:
        self._due[family] = None
        self._woken.set()

    async def _claim(self, family: str, claims: frozenset[Claim]) -> None:
        """Raises RegistryError; whatever is not known of the claim then is settled later."""
        marks = {key.fingerprint: key.marks(claims) for key in self._keys}
        turn = await self._next_turn()
        before = self._held.get(family)
        self._held[family] = turn
        try:
            answer = await self._say(Claiming(turn, self.reference(family), marks))
            if clash := answer.get("clash"):
                raise ClashError(str(clash))
        except RegistryError as error:
            if isinstance(error, AwayError) and not error.wait_s:
                raise
            # It was not taken, so what was claimed before, if anything was, is so still.
            self._held.pop(family)
            if before is not None:
                self._held[family] = before
            raise
        self._held[family] = {key: digest_of(some) for key, some in marks.items()}

    async def _withdraw(self, family: str) -> None:
        """Raises RegistryError; then the family is due still, and before anything of it is pledged it is claimed anew,
        in a later turn."""
        turn = await self._next_turn()
        self._held[family] = turn
        await self._say(Withdrawing(turn, self.reference(family)))
        del self._held[family]

    async def _next_turn(self) -> int:
        if not self._turn:
            self._turn = _turn_in(await self._registry.ask(ListingClaims(_AFTER_ALL)))
        self._turn += 1
        return self._turn

    async def _say(self, asked: Claiming | Withdrawing) -> dict[str, Any]:
        try:
            return await self._registry.ask(asked)
        except OvertakenError:
            self._turn, self._next_look_s = 0, time.monotonic()
            self._woken.set()
            raise

    async def _settle_due(self) -> None:
        """Settle what is due: all that is to be given up, then what is to be claimed, as often as that may be done."""
        for is_claim in (False, True):
            for family in list(self._due):
                async with self._lock:
                    claims = pledged_of(self._writer.state.receipts, family)
                    if bool(claims) is not is_claim:
                        continue
                    if is_claim and self._is_held(family, claims):
                        self._settled(family)
                        continue
                    if is_claim and time.monotonic() < self._next_claim_s:
                        return
                    try:
                        await self._settle(family, claims)
                    except AwayError as error:
                        if not error.wait_s:
                            raise
                        self._next_claim_s = time.monotonic() + error.wait_s

    async def _settle(self, family: str, claims: frozenset[Claim]) -> None:
        if not claims:
            if family in self._held:
                await self._withdraw(family)
            self._settled(family)
            return
        self._next_claim_s = time.monotonic() + self._pause_s
        clash = refused = ""
        try:
            await self._claim(family, claims)
        except AwayError:
            raise
        except ClashError as error:
            clash = error.clash
            self._tell(f"{family} is pledged here, and its goods are claimed by another: clash {clash}")
        except RegistryError as error:
            refused = error.why
            self._tell(f"{family} is pledged here, and is not claimed: {refused}")
        self._settled(family, clash, refused)

    def _settled(self, family: str, clash: str = "", refused: str = "") -> None:
        """A family is done with, until the next look where it could not be claimed."""
        self._due.pop(family, None)
        old = self._standing
        self._standing = old._replace(
            clashing=_with(old.clashing, family, clash), refused=_with(old.refused, family, refused)
        )

    def _is_held(self, family: str, claims: frozenset[Claim]) -> bool:
        held = self._held.get(family, 0)
        if isinstance(held, int):
            return False
        return all(
            held[key.fingerprint] == digest_of(key.marks(claims)) for key in self._keys if key.fingerprint in held
        )

    async def _look(self) -> None:
        """Find out what the registry holds, and what of it is to be settled. Raises AwayError."""
        async with self._lock:
            turn, keys, listed = await self._listed()
            receipts = self._writer.state.receipts
            names, wanted = await asyncio.to_thread(self._wanted, receipts)
            mine = {key.fingerprint for key in self._keys}
            in_use = [key for key in keys if key in mine]
            if keys[0] not in mine:
                raise RegistryError(
                    f"the registry's marks are made under the key {keys[0]}, which no file of marks_key_files holds",
                    "get it from another member",
                )
            self._turn = max(self._turn, turn)
            # What was not answered and has a later turn than all that was taken may be on its way still.
            unknown = {name: held for name, held in self._held.items() if isinstance(held, int) and held > turn}
            self._held = {
                names[reference]: {key: marks.get(key, "") for key in in_use}
                for reference, marks in listed.items()
                if reference in names
            }
            self._held |= unknown
            due = [family for family in self._held if family not in wanted]
            due += [
                family for family, marks in wanted.items() if self._held.get(family) != {k: marks[k] for k in in_use}
            ]
            self._due |= dict.fromkeys(due)
            strange = len(listed.keys() - names.keys())
            clashes = await self._clashes(names)
            self._next_look_s = time.monotonic() + self._look_every_s
        if strange:
            self._tell(f"the registry holds {strange} claims of ours that no receipt here is the reason of")
        self._standing = self._standing._replace(looked_ms=self._clock.now_ms(), strange=strange, clashes=clashes)

    def _wanted(self, receipts: ReceiptBook) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        """Every family by its reference, and what is to be claimed of those that are pledged."""
        names = {self.reference(family): family for family in families(receipts)}
        wanted = {
            family: {key.fingerprint: digest_of(key.marks(claims)) for key in self._keys}
            for family, claims in pledged(receipts).items()
        }
        return names, wanted

    async def _listed(self) -> tuple[int, tuple[str, str], dict[str, dict[str, str]]]:
        """The turn of our newest request before all of this, the keys in use, and the marks of each claim of ours by
        its reference."""
        found: dict[str, dict[str, str]] = {}
        turn: int | None = None
        after = ""
        while True:
            page = await self._registry.ask(ListingClaims(after))
            turn = _turn_in(page) if turn is None else turn
            try:
                keys = str(page["keys"]["key"]), str(page["keys"]["next_key"])
                found |= {str(one["reference"]): dict(one["marks"]) for one in page["claims"]}
                if not page["more"] or not page["claims"]:
                    return turn, keys, found
            except (LookupError, TypeError, ValueError):
                raise AwayError(_NO_REGISTRY) from None
            after = max(found)

    async def _clashes(self, names: Mapping[str, str]) -> tuple[SeenClash, ...]:
        page = await self._registry.ask(ListingClashes())
        try:
            found = tuple(
                SeenClash(one["clash"], names.get(one["reference"], ""), one["refused"], one["newest_at"])
                for one in page["clashes"]
            )
        except (LookupError, TypeError):
            raise AwayError(_NO_REGISTRY) from None
        for one in found:
            if not one.is_refused:
                self._tell(f"somebody was refused because of what {one.receipt or 'another journal'} claims: {one.id}")
        return found

    def reference(self, family: str) -> str:
        """A name for a family that only this cloud can read: its journal's name is known to nobody else."""
        journal = self._writer.state.journal.encode()
        return hmac.new(journal, b"pledgewatch reference 1\0" + family.encode(), hashlib.sha256).hexdigest()

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told:
            if len(self._told) >= _TOLD_MAX:
                self._told.clear()
            self._told.add(sentence)
            log.error("%s", sentence)


async def commit_act(writer: Writer, membership: Membership | None, text: str, heard_ms: int) -> Outcome | None:
    """Commit an act on a receipt, with the goods that it pledges claimed first where there is a registry.

    None where it says nothing new. Raises ActError, RegistryError, StoreError.
    """
    if membership is None:
        return await writer.commit(drafts.act, text, heard_ms)
    return await membership.commit_act(text, heard_ms)


def _turn_in(page: Mapping[str, Any]) -> int:
    """Raises AwayError."""
    turn = page.get("turn")
    if type(turn) is not int or turn < 0:
        raise AwayError(_NO_REGISTRY)
    return turn


def _with(known: Mapping[str, str], family: str, word: str) -> Mapping[str, str]:
    rest = {one: other for one, other in known.items() if one != family}
    return rest | {family: word} if word else rest
