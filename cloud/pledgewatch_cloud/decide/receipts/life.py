"""The life of a warehouse receipt, as a table, and how an act is taken or refused.

    (none) ──draft──► drafted ──issue──► issued ⇄ pledged ──release──► partly released ──release──► released
       └────────────────issue───────────────┘│       │                       │                        │ (as issued)
                                             └───────┴──── split ► children of the same state ────────┘
    issued, released, partly released ──surrender, deliver──► … ──all of it──► delivered
    issued, released ──cancel──► cancelled       any live one ──freeze──► frozen ──thaw──► as it was
                                                 any live one ──lose──► lost ──replace──► replaced, and a new receipt

One party controls a receipt at any moment: its holder, and while it is pledged its pledgee. The warehouse issues and
delivers, but disposes of nothing: it delivers no more than the holder has surrendered, and of a pledged receipt no more
than the pledgee has released. What is surrendered is out of the holder's hands until it is delivered or taken back.

An act names the digest of the act that it follows, so of two acts that were signed after the same one, the first that
is heard is taken, if it may be, and the other is refused, always. What an act says is all that is asked beside the
receipts: whose keys they are, what the stock book has, and when the act was heard. A receipt begins to claim goods when
it is issued, or when other goods are put in the place of its own; see claiming.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.receipts.act import Act, ActError, ActKind, NoPartError, OvertakenError
from pledgewatch_cloud.decide.receipts.claiming import World, check_stated, check_still_there, claimed, consents
from pledgewatch_cloud.decide.receipts.goods import DAY_MS, GoodsLine
from pledgewatch_cloud.decide.receipts.receipt import ID_MAX, Delivery, Receipt, State, is_own_id
from pledgewatch_cloud.decide.receipts.receipt_book import KEPT_MAX, ReceiptBook

SKEW_MS = 300_000
"""How far the clocks of two signers, or a signer's and ours, may be apart."""
HEARD_MAX_MS = 31 * DAY_MS
"""How long after it was signed an act can be handed in."""
DELIVERIES_MAX = 10
"""Deliveries of one SKU, unit and bin that a receipt tells apart."""
_TOLD_MAX = 20


class Role(StrEnum):
    """What a party is to a receipt."""

    WAREHOUSE = "warehouse"
    DEPOSITOR = "depositor"
    HOLDER = "holder"
    PLEDGEE = "pledgee"


class Move(NamedTuple):
    """Where an act leads, and which roles may do it. Where there are several states, the quantities decide; none: as
    before it was frozen."""

    to: tuple[State, ...]
    by: tuple[Role, ...]


_S, _K, _R = State, ActKind, Role
_WAREHOUSE, _HOLDER, _PLEDGEE = (_R.WAREHOUSE,), (_R.HOLDER,), (_R.PLEDGEE,)

LIFE: Mapping[tuple[State, ActKind], Move] = {
    (_S.NONE, _K.DRAFT): Move((_S.DRAFTED,), _WAREHOUSE),
    (_S.NONE, _K.ISSUE): Move((_S.ISSUED,), _WAREHOUSE),
    (_S.DRAFTED, _K.ISSUE): Move((_S.ISSUED,), _WAREHOUSE),
    (_S.DRAFTED, _K.CANCEL): Move((_S.CANCELLED,), (_R.WAREHOUSE, _R.DEPOSITOR)),
    (_S.ISSUED, _K.TRANSFER): Move((_S.ISSUED,), _HOLDER),
    (_S.RELEASED, _K.TRANSFER): Move((_S.RELEASED,), _HOLDER),
    (_S.ISSUED, _K.PLEDGE): Move((_S.PLEDGED,), _HOLDER),
    (_S.RELEASED, _K.PLEDGE): Move((_S.PLEDGED,), _HOLDER),
    (_S.PLEDGED, _K.RELEASE): Move((_S.PARTLY_RELEASED, _S.RELEASED), _PLEDGEE),
    (_S.PARTLY_RELEASED, _K.RELEASE): Move((_S.PARTLY_RELEASED, _S.RELEASED), _PLEDGEE),
    (_S.ISSUED, _K.SPLIT): Move((_S.SPLIT,), _HOLDER),
    (_S.RELEASED, _K.SPLIT): Move((_S.SPLIT,), _HOLDER),
    (_S.PLEDGED, _K.SPLIT): Move((_S.SPLIT,), _PLEDGEE),
    (_S.ISSUED, _K.SURRENDER): Move((_S.ISSUED,), _HOLDER),
    (_S.RELEASED, _K.SURRENDER): Move((_S.RELEASED,), _HOLDER),
    (_S.PARTLY_RELEASED, _K.SURRENDER): Move((_S.PARTLY_RELEASED,), _HOLDER),
    (_S.ISSUED, _K.DELIVER): Move((_S.ISSUED, _S.DELIVERED), _WAREHOUSE),
    (_S.RELEASED, _K.DELIVER): Move((_S.RELEASED, _S.DELIVERED), _WAREHOUSE),
    (_S.PARTLY_RELEASED, _K.DELIVER): Move((_S.PARTLY_RELEASED,), _WAREHOUSE),
    (_S.ISSUED, _K.CANCEL): Move((_S.CANCELLED,), _HOLDER),
    (_S.RELEASED, _K.CANCEL): Move((_S.CANCELLED,), _HOLDER),
    # The goods change, the receipt and who controls it stay: so who controls it consents.
    (_S.ISSUED, _K.SUBSTITUTE): Move((_S.ISSUED,), _WAREHOUSE),
    (_S.RELEASED, _K.SUBSTITUTE): Move((_S.RELEASED,), _WAREHOUSE),
    (_S.PLEDGED, _K.SUBSTITUTE): Move((_S.PLEDGED,), _WAREHOUSE),
    (_S.ISSUED, _K.FREEZE): Move((_S.FROZEN,), _WAREHOUSE),
    (_S.RELEASED, _K.FREEZE): Move((_S.FROZEN,), _WAREHOUSE),
    (_S.PLEDGED, _K.FREEZE): Move((_S.FROZEN,), (_R.WAREHOUSE, _R.PLEDGEE)),
    (_S.PARTLY_RELEASED, _K.FREEZE): Move((_S.FROZEN,), (_R.WAREHOUSE, _R.PLEDGEE)),
    # A freeze is lifted by the pledgee, and by the warehouse where there is none.
    (_S.FROZEN, _K.THAW): Move((), (_R.WAREHOUSE, _R.PLEDGEE)),
    # Who has lost the key can sign nothing any more, so the warehouse may say it for him.
    (_S.ISSUED, _K.LOSE): Move((_S.LOST,), (_R.WAREHOUSE, _R.HOLDER)),
    (_S.RELEASED, _K.LOSE): Move((_S.LOST,), (_R.WAREHOUSE, _R.HOLDER)),
    (_S.PLEDGED, _K.LOSE): Move((_S.LOST,), (_R.WAREHOUSE, _R.PLEDGEE)),
    (_S.PARTLY_RELEASED, _K.LOSE): Move((_S.LOST,), (_R.WAREHOUSE, _R.PLEDGEE)),
    (_S.LOST, _K.REPLACE): Move((_S.REPLACED,), _WAREHOUSE),
}
"""Every move there is; any other act is refused."""


class _Asked(NamedTuple):
    """An act that the table allows on a receipt, with all that it is judged by."""

    receipts: ReceiptBook
    known: Receipt
    act: Act
    world: World

    @property
    def after(self) -> Receipt:
        """The receipt with the act as its newest, before what the act does."""
        known, act = self.known, self.act
        return known._replace(head=act.digest, at_ms=max(known.at_ms, act.at_ms), acts=known.acts + 1)


def apply(receipts: ReceiptBook, act: Act, world: World) -> ReceiptBook:
    """The book after an act; the same book where the act is the newest of its receipt already.

    Raises ActError, and then nothing has changed.
    """
    key = world.keys(act.by).get(act.kid)
    if key is None:
        raise ActError(
            f"{act.by} has no key called {act.kid} in the book", "sign with a key that the book has, or have it added"
        )
    if not jose.verifies(key, act.signed):
        raise ActError(
            f"the signature is not by the key {act.kid} of {act.by}, or what it covers was changed",
            "hand in the text exactly as it was signed, or sign it again",
        )
    known = receipts.get(act.receipt)
    if known is not None and known.head == act.digest:
        return receipts
    begins = act.kind in (ActKind.DRAFT, ActKind.ISSUE) and is_own_id(act.by, act.receipt)
    if not (begins if known is None else known.is_seen_by(act.by)):
        raise NoPartError(
            f"{act.by} has no part in a receipt {act.receipt}",
            "name a receipt that you issued, hold or have as a pledge; a warehouse begins one as <warehouse>:<name>",
        )
    _check_follows(known, act)
    _check_moment(known, act, world)
    if known is None:
        return receipts.put(_begun(receipts, act, world), world.heard_ms)
    _check_may(known, act)
    return receipts.put(_DONE[act.kind](_Asked(receipts, known, act, world)), world.heard_ms)


def frozen(receipts: ReceiptBook, name: str) -> ReceiptBook:
    """The book after evidence alone has frozen a receipt: goods that left without a release. Its head stays, so who
    thaws it signs after the newest act. Raises KeyError for a receipt that is not known; one that is frozen or not live
    stays as it is."""
    known = receipts.get(name)
    if known is None:
        raise KeyError(name)
    if (known.state, ActKind.FREEZE) not in LIFE:
        return receipts
    return receipts.put([known._replace(state=State.FROZEN, frozen_from=str(known.state))])


def roles(receipt: Receipt, party: str) -> frozenset[Role]:
    """What a party is to a receipt."""
    return frozenset(role for role in Role if party and getattr(receipt, role) == party)


def may(receipt: Receipt, party: str) -> tuple[ActKind, ...]:
    """What a party may do with a receipt as it stands, by the table; whether an act is sound is asked when it comes."""
    return tuple(
        kind
        for (state, kind), move in LIFE.items()
        if state is receipt.state and roles(receipt, party) & set(_by(receipt, move))
    )


def seen(receipts: ReceiptBook, error: ActError, party: str) -> tuple[list[str], int]:
    """The receipts that a refusal clashes with, in order, as far as one party has a part in them; and how many others
    there are."""
    names = sorted({clash.receipt for clash in error.clashes})
    own = [name for name in names if (one := receipts.get(name)) is not None and one.is_seen_by(party)]
    return own, len(names) - len(own)


def told(receipts: ReceiptBook, error: ActError, party: str) -> str:
    """A refusal as one party may read it: clashes are named where it has a part in the other receipt, else counted."""
    own, hidden = seen(receipts, error, party)
    if not error.clashes:
        return str(error)
    said = ", ".join(own[:_TOLD_MAX]) + (f" and {len(own) - _TOLD_MAX} more" if len(own) > _TOLD_MAX else "")
    others = f"{hidden} of others" if hidden else ""
    return f"{error} (receipts: {' and '.join(one for one in (said, others) if one)})"


def _check_follows(known: Receipt | None, act: Act) -> None:
    if known is None and act.after:
        raise ActError(f"{act.receipt} has not begun, so no act can follow another", "leave `after` empty")
    if known is not None and not act.after:
        raise OvertakenError(
            f"there is a receipt {act.receipt} already", "begin another name, or sign after the head of this"
        )
    if known is not None and act.after != known.head:
        raise OvertakenError(
            f"another act on {act.receipt} came first, so this one is about a receipt that is no more as it was",
            "look at the receipt as it stands, and sign anew after its head",
        )


def _check_moment(known: Receipt | None, act: Act, world: World) -> None:
    if act.at_ms > world.heard_ms + SKEW_MS:
        raise ActError("at: the act was signed later than it was heard", "set the signer's clock, and sign again")
    if act.at_ms < world.heard_ms - HEARD_MAX_MS:
        raise ActError(
            f"at: the act was signed more than {HEARD_MAX_MS // DAY_MS} days before it was heard",
            "sign it anew, as of now",
        )
    if known is not None and act.at_ms < known.at_ms - SKEW_MS:
        raise ActError(
            "at: the act was signed before the one that it follows", "set the signer's clock, and sign again"
        )


def _check_may(known: Receipt, act: Act) -> None:
    move = LIFE.get((known.state, act.kind))
    state = known.state.replace("_", " ")
    if move is None:
        ended = f"; its goods went on as {', '.join(known.children)}" if known.children else ""
        ended = f"; {known.replaced_by} stands in its place" if known.replaced_by else ended
        moves = [f"{kind} by {_listed(_by(known, one))}" for (of, kind), one in LIFE.items() if of is known.state]
        cure = f"what can be done with it: {', '.join(moves)}" if moves else f"its life has ended{ended}"
        raise ActError(f"{act.receipt} is {state}, and {act.kind} is no move from there", cure)
    by = _by(known, move)
    if not roles(known, act.by) & set(by):
        raise ActError(
            f"{act.kind} of {act.receipt}, which is {state}, is for its {_listed(by)} alone, and {act.by} is not that",
            f"have the {_listed(by)} sign it",
        )


def _by(receipt: Receipt, move: Move) -> tuple[Role, ...]:
    if receipt.state is State.FROZEN:
        return _PLEDGEE if receipt.pledgee else _WAREHOUSE
    return move.by


def _listed(by: Sequence[Role]) -> str:
    return " or ".join(by)


def _check_party(world: World, what: str, party: str, barred: Mapping[str, str]) -> None:
    """A party that control goes to must be able to sign, and must not be one of some."""
    if party in barred:
        raise ActError(f"{what}: {party} is {barred[party]}", f"name another {what}")
    if not world.keys(party):
        raise ActError(
            f"{what}: {party} has no key in the book, so nobody could control the receipt",
            "have the party's public key added to the book first",
        )


def _check_room(receipts: ReceiptBook, more: int) -> None:
    if len(receipts) + more > KEPT_MAX:
        raise ActError(
            f"{len(receipts)} receipts are kept and {more} more would be over {KEPT_MAX}",
            "begin none until there is room",
        )


def _begun(receipts: ReceiptBook, act: Act, world: World) -> list[Receipt]:
    if act.by not in world.warehouses:
        raise ActError(
            f"{act.by} is no warehouse of the book, and only a warehouse issues receipts",
            "have it added to the section warehouses of the book",
        )
    _check_room(receipts, 1)
    body = act.body
    if body["register"] != world.register:
        raise ActError(
            f"register: the act is for another register than this, which is {world.register}",
            "hand it in there; or look whether the receipt is to begin here, and sign it for this register",
        )
    depositor = str(body["depositor"])
    _check_party(world, "depositor", depositor, {act.by: "the warehouse itself, which keeps others' goods"})
    goods: tuple[GoodsLine, ...] = body["goods"]
    nothing = (0,) * len(goods)
    draft = Receipt(
        id=act.receipt,
        warehouse=act.by,
        depositor=depositor,
        holder=depositor,
        pledgee="",
        state=State.DRAFTED,
        goods=goods,
        released_milli=nothing,
        ordered_milli=nothing,
        delivered_milli=nothing,
        received_ms=body["received"].from_ms,
        received_until_ms=body["received"].until_ms,
        issued_ms=0,
        until_ms=body["until"],
        head=act.digest,
        at_ms=act.at_ms,
    )
    _check_until(draft, act, world)
    if act.kind is ActKind.DRAFT:
        check_stated(draft)
        return [draft]
    issued, *beside = claimed(receipts, draft, act, world)
    return [issued._replace(state=State.ISSUED, issued_ms=act.at_ms), *beside]


def _check_until(receipt: Receipt, act: Act, world: World) -> None:
    if receipt.until_ms <= max(act.at_ms, world.heard_ms):
        raise ActError(
            "until: is not after the act itself",
            "say until when the goods are stored; a draft that is past that is cancelled, and another one begun",
        )


def _issue(one: _Asked) -> list[Receipt]:
    _check_until(one.known, one.act, one.world)
    issued, *beside = claimed(one.receipts, one.after, one.act, one.world)
    return [issued._replace(state=State.ISSUED, issued_ms=one.act.at_ms), *beside]


def _transfer(one: _Asked) -> list[Receipt]:
    _check_no_order(one.known, one.act)
    to = str(one.act.body["to"])
    barred = {
        one.known.holder: "its holder already",
        one.known.warehouse: "its warehouse, which holds none of its own receipts",
    }
    _check_party(one.world, "to", to, barred)
    return [one.after._replace(holder=to)]


def _pledge(one: _Asked) -> list[Receipt]:
    _check_no_order(one.known, one.act)
    pledgee = str(one.act.body["pledgee"])
    barred = {
        one.known.holder: "its holder",
        one.known.warehouse: "its warehouse, which keeps the goods for the pledgee",
    }
    _check_party(one.world, "pledgee", pledgee, barred)
    _check_known(one, pledgee)
    check_still_there(one.receipts, one.known, one.world)
    nothing = (0,) * len(one.known.goods)
    return [one.after._replace(state=State.PLEDGED, pledgee=pledgee, released_milli=nothing)]


def _check_known(one: _Asked, pledgee: str) -> None:
    """Who lends on goods knows what was passed over of them: to that its holder may have consented alone."""
    consenting = consents(one.act, one.world)
    unsaid = [ask for ask in one.known.overrides if ask not in one.act.body.get("overrides", ())]
    if unsaid or (one.known.overrides and pledgee not in consenting):
        raise ActError(
            f"goods of {one.known.id} came close to those of another receipt, and that was passed over: "
            f"{', '.join(one.known.overrides)}; {pledgee} has not consented to have them as a pledge",
            f"sign anew with these as overrides, a reason, and the consent of {pledgee}",
        )


def _release(one: _Asked) -> list[Receipt]:
    bound = _less(one.known.quantities_milli, one.known.released_milli)
    more = _quantities(one.act, bound, "is still pledged")
    released = _more(one.known.released_milli, more)
    if released == one.known.quantities_milli:
        nothing = (0,) * len(released)
        return [one.after._replace(state=State.RELEASED, pledgee="", released_milli=nothing)]
    return [one.after._replace(state=State.PARTLY_RELEASED, released_milli=released)]


def _surrender(one: _Asked) -> list[Receipt]:
    if any(one.known.ordered_milli) and not any(one.act.body.get("quantities_milli", (1,))):
        return [one.after._replace(ordered_milli=(0,) * len(one.known.goods))]
    since_ms = one.known.ordered_ms if any(one.known.ordered_milli) else one.world.heard_ms
    ordered = _quantities(one.act, one.known.free_milli, "is free")
    return [one.after._replace(ordered_milli=ordered, ordered_ms=since_ms)]


def _deliver(one: _Asked) -> list[Receipt]:
    if not any(one.known.ordered_milli):
        raise ActError(
            f"nothing of {one.known.id} was surrendered, and goods are delivered against surrender alone",
            "have the holder sign a surrender of what is to be delivered",
        )
    out = _quantities(one.act, one.known.ordered_milli, "was surrendered")
    left = _less(one.known.quantities_milli, out)
    after = one.after._replace(
        goods=_with_quantities(one.known.goods, left),
        ordered_milli=_less(one.known.ordered_milli, out),
        delivered_milli=_more(one.known.delivered_milli, out),
        deliveries=_deliveries(one.known, out, one.world.heard_ms),
        released_milli=_less(one.known.released_milli, out) if one.known.pledgee else one.known.released_milli,
    )
    return [after if any(left) else after._replace(state=State.DELIVERED)]


def _deliveries(known: Receipt, out: tuple[int, ...], heard_ms: int) -> tuple[Delivery, ...]:
    """What has left of a receipt, with what leaves now. Of one SKU, unit and bin a few are told apart; of more, the two
    oldest are one, asked for since the first was, which counts as heard no sooner than each of them."""
    found = list(known.deliveries)
    for goods, milli in zip(known.goods, out, strict=True):
        if not milli:
            continue
        new = Delivery(goods.sku, goods.unit, goods.bin, heard_ms, known.ordered_ms, milli)
        same = [place for place, one in enumerate(found) if one[:3] == new[:3]]
        if same and found[same[-1]][:4] == new[:4]:
            found[same[-1]] = found[same[-1]]._replace(milli=found[same[-1]].milli + milli)
            continue
        if len(same) == DELIVERIES_MAX:
            first, second = (found[place] for place in same[:2])
            found[same[0]] = first._replace(heard_ms=second.heard_ms, milli=first.milli + second.milli)
            del found[same[1]]
        found.append(new)
    return tuple(found)


def _split(one: _Asked) -> list[Receipt]:
    _check_no_order(one.known, one.act)
    parts: tuple[tuple[int, ...], ...] = one.act.body["into_milli"]
    _check_room(one.receipts, len(parts))
    for number, part in enumerate(parts):
        _check_lines(f"into_milli[{number}]", part, one.known.quantities_milli)
    for line, (goods, shares) in enumerate(zip(one.known.goods, zip(*parts, strict=True), strict=True)):
        if sum(shares) != goods.quantity_milli:
            raise ActError(
                f"into_milli: line {line} comes to {sum(shares)} and the receipt has {goods.quantity_milli}",
                "share out all of every line, and no more",
            )
        if goods.is_identified and max(shares) != goods.quantity_milli:
            raise ActError(
                f"into_milli: line {line} is known by its container, seal or device and cannot be divided",
                "give all of it to one part",
            )
    return [
        one.after._replace(
            state=State.SPLIT, children=tuple(f"{one.known.id}.{number}" for number in range(1, len(parts) + 1))
        ),
        *(_part(one.known, one.act, number, part) for number, part in enumerate(parts, 1)),
    ]


def _part(known: Receipt, act: Act, number: int, part: tuple[int, ...]) -> Receipt:
    name = f"{known.id}.{number}"
    if len(name) > ID_MAX:
        raise ActError(f"{name[:40]}…: the part's id would be longer than {ID_MAX}", "split it into more parts at once")
    goods = tuple(one for one in _with_quantities(known.goods, part) if one.quantity_milli)
    nothing = (0,) * len(goods)
    return known._replace(
        id=name,
        goods=goods,
        released_milli=nothing,
        ordered_milli=nothing,
        delivered_milli=nothing,
        head=act.digest,
        at_ms=act.at_ms,
        acts=1,
        parent=known.id,
        replaces="",
        deliveries=(),
    )


def _cancel(one: _Asked) -> list[Receipt]:
    _check_no_order(one.known, one.act)
    return [one.after._replace(state=State.CANCELLED)]


def _substitute(one: _Asked) -> list[Receipt]:
    _check_no_order(one.known, one.act)
    goods: tuple[GoodsLine, ...] = one.act.body["goods"]
    nothing = (0,) * len(goods)
    received = one.act.body["received"]
    after = one.after._replace(
        goods=goods,
        released_milli=nothing,
        ordered_milli=nothing,
        delivered_milli=nothing,
        received_ms=received.from_ms,
        received_until_ms=received.until_ms,
    )
    if one.known.controller not in consents(one.act, one.world):
        raise ActError(
            "other goods can be put in the place of these only with the consent of who controls the receipt",
            f"add a consent that {one.known.controller} has signed",
        )
    return claimed(one.receipts, after, one.act, one.world)


def _freeze(one: _Asked) -> list[Receipt]:
    return [one.after._replace(state=State.FROZEN, frozen_from=str(one.known.state))]


def _thaw(one: _Asked) -> list[Receipt]:
    return [one.after._replace(state=State(one.known.frozen_from), frozen_from="")]


def _lose(one: _Asked) -> list[Receipt]:
    return [one.after._replace(state=State.LOST, frozen_from=str(one.known.state))]


def _replace(one: _Asked) -> list[Receipt]:
    _check_room(one.receipts, 1)
    name = str(one.act.body["replacement"])
    if not is_own_id(one.known.warehouse, name) or one.receipts.get(name) is not None:
        raise ActError(
            f"replacement: {name} is no new name of {one.known.warehouse}",
            f"name it {one.known.warehouse}:<name>, and anew",
        )
    # What its lost key may have surrendered is not surrendered any more.
    new = one.known._replace(
        id=name,
        state=State(one.known.frozen_from),
        frozen_from="",
        head=one.act.digest,
        at_ms=max(one.known.at_ms, one.act.at_ms),
        acts=1,
        replaces=one.known.id,
        ordered_milli=(0,) * len(one.known.goods),
        deliveries=(),
    )
    return [one.after._replace(state=State.REPLACED, replaced_by=name, frozen_from=""), new]


_DONE: Mapping[ActKind, Callable[[_Asked], list[Receipt]]] = {
    ActKind.ISSUE: _issue,
    ActKind.TRANSFER: _transfer,
    ActKind.PLEDGE: _pledge,
    ActKind.RELEASE: _release,
    ActKind.SURRENDER: _surrender,
    ActKind.DELIVER: _deliver,
    ActKind.SPLIT: _split,
    ActKind.CANCEL: _cancel,
    ActKind.SUBSTITUTE: _substitute,
    ActKind.FREEZE: _freeze,
    ActKind.THAW: _thaw,
    ActKind.LOSE: _lose,
    ActKind.REPLACE: _replace,
}


def _check_no_order(known: Receipt, act: Act) -> None:
    if any(known.ordered_milli):
        raise ActError(
            f"goods of {known.id} are surrendered for delivery, so there can be no {act.kind} until that is done",
            "have them delivered, or take the surrender back by one of nothing",
        )


def _quantities(act: Act, bound: tuple[int, ...], what: str) -> tuple[int, ...]:
    """The quantities of an act, or all that there is; more than nothing, and no line more than its bound."""
    named: tuple[int, ...] | None = act.body.get("quantities_milli")
    found = bound if named is None else named
    _check_lines("quantities_milli", found, bound, what)
    return found


def _check_lines(where: str, found: tuple[int, ...], bound: tuple[int, ...], what: str = "is there") -> None:
    if len(found) != len(bound):
        raise ActError(f"{where}: {len(found)} lines and the receipt has {len(bound)}", "give a number for each line")
    for line, (one, most) in enumerate(zip(found, bound, strict=True)):
        if one > most:
            raise ActError(f"{where}[{line}]: {one} is more than the {most} that {what}", f"ask for {most} at most")
    if not any(found):
        raise ActError(f"{where}: is nothing", "ask for some of it")


def _less(some: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one - other for one, other in zip(some, others, strict=True))


def _more(some: tuple[int, ...], others: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(one + other for one, other in zip(some, others, strict=True))


def _with_quantities(goods: tuple[GoodsLine, ...], quantities: tuple[int, ...]) -> tuple[GoodsLine, ...]:
    return tuple(one._replace(quantity_milli=quantity) for one, quantity in zip(goods, quantities, strict=True))
