"""What a borrowing-base certificate says, and the tables that its forms share.

A certificate is a base with its lots, tied to the entry of the journal that it was worked out from. Nothing here reads
a clock or a disk: equal certificates make equal forms, so nothing may depend on the order in which a mapping was
filled. Amounts stay whole numbers of minor units and become decimal text only where they are shown. What somebody
else named is shown so that it can neither disturb a line (`plain`) nor act in a spreadsheet (`guarded`).

Where the borrower has stated figures of its own, each difference gets a sentence. It looks for amounts in this
certificate that add up to the difference: first all of them, then up to four, then all but up to four, then a single
lot, and last the one or two that come nearest from below. That amounts fit is no proof, so the
sentences say what would explain a difference, not what does.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from pledgewatch_cloud.decide.collateral.result import STEPS, Base, LotLine
from pledgewatch_cloud.decide.collateral.terms import CLASSES
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.money import Amount
from pledgewatch_cloud.table_text import guarded
from pledgewatch_cloud.typeset.text import plain

FORMAT = "pledgewatch-certificate-1"
SIGNATURE_SUFFIX = ".signature.json"

REASONS: Mapping[str, str] = {
    "price_stale": "price too old",
    "rate_stale": "exchange rate too old",
    "appraisal": "no appraisal in force",
    "receipt": "no valid warehouse receipt",
    "stock": "counted short in stock",
    "shortfall": "missing of what its receipt claims",
    "evidence": "evidence stale",
    "place": "not where it may be",
    "condition": "condition breached",
    "papers": "papers missing or ended",
    "age": "too old or too near its end",
    "slow": "too much for its sales",
    "concentration_sku": "too much of one SKU",
    "concentration_buyer": "too much for one buyer",
    "concentration_country": "too much in one country",
    "concentration_vessel": "too much on one vessel",
    "concentration_warehouse": "too much in one warehouse",
    "condition_loss": "loss from condition",
    "evidence_ageing": "evidence ageing",
    "age_haircut": "haircut for age",
    "sell_through": "haircut for days on hand",
    "fx_haircut": "haircut for the currency",
    "volatility": "haircut for swings of the price",
    "lot_haircut": "haircut of the lot",
}
"""What each ineligible means, in a few words."""

_MOST_CANDIDATES = 24  # of the largest; four of 24 are 10,626 sums, which is nothing, and of many more they are not
_MOST_TOGETHER = 4
_LEAST_SHARE = 20  # less than a twentieth of a difference explains nothing worth saying


class Stated(NamedTuple):
    """The borrower's own figures, in minor units of the facility's currency, None where not given; `file` names where
    they stood."""

    gross_minor: int | None
    eligible_minor: int | None
    base_minor: int | None
    outstanding_minor: int | None
    file: str


class Certificate(NamedTuple):
    """A base, and what it rests on. Moments are Unix milliseconds; `exponent` is the decimals of `currency`.

    `lines` are all lots of the base. `evidence`, by lot: the ids of events, devices with sequences, or papers that
    caused its ineligibles. `marks`: the prices and rates that were used, as (name, value, date).
    """

    journal: str
    entry: int
    state_digest: str
    as_of_ms: int
    known_at_ms: int
    facility: str
    lender: str
    borrower: str
    currency: str
    exponent: int
    base: Base
    lines: tuple[LotLine, ...]
    evidence: Mapping[str, tuple[str, ...]]
    marks: tuple[tuple[str, str, str], ...]
    stated: Stated | None


Cell = str | Amount
Table = Sequence[Sequence[Cell]]
"""Its first line names the columns."""


class Row(NamedTuple):
    """A row of the waterfall. What it takes is negative; None: there is no such figure. `running`: what is left after
    it. `is_total`: it sums up those above. `stated`: the borrower's own figure; `note`: what explains the difference.
    """

    name: str
    label: str
    amount: Amount | None
    running: Amount | None = None
    is_total: bool = False
    stated: Amount | None = None
    note: str = ""

    @property
    def difference(self) -> Amount | None:
        """The borrower's own figure less this one."""
        if self.amount is None or self.stated is None:
            return None
        return Amount(self.stated.units - self.amount.units, self.amount.exponent)


def _safe(text: str) -> str:
    """What somebody else named, as tables have it."""
    return guarded(plain(text))


def stem(certificate: Certificate) -> str:
    """The name of the certificate's files, without what tells the forms apart.

    A facility's id that is no name for a file is cut down to one, and then told apart by its digest.
    """
    named = re.sub(r"[^A-Za-z0-9_-]+", "-", certificate.facility)[:60]
    if named != certificate.facility:
        digest = hashlib.sha256(certificate.facility.encode("utf-8", "surrogatepass")).hexdigest()
        named = f"{named}-{digest[:8]}"
    at = re.sub(r"[-:]", "", iso(certificate.as_of_ms))
    return f"certificate-{named}-{at}-{certificate.entry}"


def facts(certificate: Certificate) -> tuple[tuple[str, str], ...]:
    """What a certificate is about, as (name, value)."""
    base = certificate.base
    found = [
        ("format", FORMAT),
        ("lender", certificate.lender),
        ("borrower", certificate.borrower),
        ("facility", certificate.facility),
        ("currency", certificate.currency),
        ("as_of", iso(certificate.as_of_ms)),
        ("known_at", iso(certificate.known_at_ms)),
        ("journal", certificate.journal),
        ("entry", str(certificate.entry)),
        ("state_digest", certificate.state_digest),
        ("lots", str(base.lots)),
        ("lots_unvalued", str(base.unvalued)),
    ]
    if certificate.stated:
        found.append(("stated_in", certificate.stated.file))
    return tuple((name, plain(value)) for name, value in found)


def waterfall(certificate: Certificate) -> tuple[Row, ...]:
    """From gross to availability, in order.

    A base that does not follow from its own parts, or from its lots, is no base: AssertionError.
    """
    check(certificate)
    base, exponent = certificate.base, certificate.exponent

    def money(minor: int) -> Amount:
        return Amount(minor, exponent)

    limit = money(base.limit_minor) if base.limit_minor else None
    rows = [
        Row("gross", "Gross", money(base.gross_minor), money(base.gross_minor), is_total=True),
        *_steps(certificate),
        Row("base", "Borrowing base", money(base.base_minor), money(base.base_minor), is_total=True),
        Row("limit", "Limit" if limit else "Limit: none", limit),
        Row("outstanding", "Outstanding", money(base.outstanding_minor)),
        Row("headroom", "Headroom: base or limit, less outstanding", money(base.headroom_minor)),
        Row("availability", "Availability", money(base.availability_minor), is_total=True),
        _ratio("ltv", "Loan to value, %", base.ltv_bp),
        _ratio("cover", "Cover, %", base.cover_bp),
    ]
    return tuple(_compared(certificate, rows))


def _steps(certificate: Certificate) -> Iterator[Row]:
    """What lies between gross and base, each with what is left after it."""
    base, exponent = certificate.base, certificate.exponent
    left = base.gross_minor
    for name in in_order(base.ineligible):
        left -= base.ineligible[name]
        label = plain(f"less {name}: {REASONS.get(name, name)}")
        yield Row(name, label, Amount(-base.ineligible[name], exponent), Amount(left, exponent))
    yield Row("eligible", "Eligible", Amount(left, exponent), Amount(left, exponent), is_total=True)
    left = 0
    for name in _classes(base.advance):
        left += base.advance[name]
        yield Row(
            f"advance_{name}",
            plain(f"Advance on {name}"),
            Amount(base.advance[name], exponent),
            Amount(left, exponent),
        )
    for kind, amounts in (("less held back by", base.held_back), ("less reserve", base.reserves)):
        for name in sorted(amounts):
            left -= amounts[name]
            row_name = name if amounts is base.held_back else f"reserve_{name}"
            yield Row(row_name, plain(f"{kind} {name}"), Amount(-amounts[name], exponent), Amount(left, exponent))


def _ratio(name: str, label: str, ratio_bp: int) -> Row:
    return Row(name, label, Amount(ratio_bp, 2)) if ratio_bp >= 0 else Row(name, f"{label}: none", None)


def check(certificate: Certificate) -> None:
    """AssertionError where the parts of a base, or its lots, do not add up to it to the minor unit."""
    base, lines = certificate.base, certificate.lines
    held = sum(base.held_back.values()) + sum(base.reserves.values())
    assert base.gross_minor - sum(base.ineligible.values()) == base.eligible_minor, "gross less ineligibles"
    assert max(0, sum(base.advance.values()) - held) == base.base_minor, "advance less what is held back"
    assert len({one.id for one in lines}) == len(lines) == base.lots, "each lot once"
    assert sum(one.is_unvalued for one in lines) == base.unvalued, "unvalued lots"
    assert sum(one.value_minor for one in lines) == base.gross_minor, "values of lots"
    assert sum(one.eligible_minor for one in lines) == base.eligible_minor, "eligible of lots"
    assert _summed((one.in_class, one.advance_minor) for one in lines) == _summed(base.advance.items()), "advances"
    taken = _summed((name, amount) for one in lines for name, amount in one.ineligible.items())
    assert taken == _summed(base.ineligible.items()), "ineligibles of lots"
    assert set(certificate.evidence) <= {one.id for one in lines}, "evidence of lots"


def _summed(items: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, amount in items:
        found[name] = found.get(name, 0) + amount
    return {name: amount for name, amount in found.items() if amount}


def in_order(ineligible: Mapping[str, int]) -> list[str]:
    """The names of ineligibles in the order in which they take; others, if any, after them by name."""
    return sorted(ineligible, key=lambda name: (STEPS.index(name) if name in STEPS else len(STEPS), name))


def _classes(advance: Mapping[str, int]) -> list[str]:
    return sorted(advance, key=lambda name: (CLASSES.index(name) if name in CLASSES else len(CLASSES), name))


# Tables, as CSV and XLSX have them.


def facts_table(certificate: Certificate) -> Table:
    """What a certificate is about."""
    return [("name", "value"), *((name, _safe(value)) for name, value in facts(certificate))]


def waterfall_table(certificate: Certificate) -> Table:
    """The waterfall, with the borrower's own figures where it has stated any."""
    own = ("stated", "difference", "note") if certificate.stated else ()
    table: list[tuple[Cell, ...]] = [("name", "label", "amount", "running_total", *own)]
    for row in waterfall(certificate):
        more = (row.stated or "", row.difference or "", _safe(row.note)) if certificate.stated else ()
        table.append((_safe(row.name), _safe(row.label), row.amount or "", row.running or "", *more))
    return table


def marks_table(certificate: Certificate) -> Table:
    """The prices and rates that were used."""
    return [("name", "value", "date"), *(tuple(map(_safe, mark)) for mark in certificate.marks)]


def lots_table(certificate: Certificate) -> Table:
    """The lots, with a column for every step that took anything from any of them."""
    steps, exponent = in_order(certificate.base.ineligible), certificate.exponent
    table: list[tuple[Cell, ...]] = [
        ("lot", "class", "value", *map(_safe, steps), "eligible", "advance", "unvalued", "evidence")
    ]
    for line in certificate.lines:
        row: tuple[Cell, ...] = (
            _safe(line.id),
            _safe(line.in_class),
            Amount(line.value_minor, exponent),
            *(Amount(line.ineligible[name], exponent) if line.ineligible.get(name) else "" for name in steps),
            Amount(line.eligible_minor, exponent),
            Amount(line.advance_minor, exponent),
            "unvalued" if line.is_unvalued else "",
            _safe("; ".join(certificate.evidence.get(line.id, ()))),
        )
        table.append(row)
    return table


# The borrower's own figures.


def _compared(certificate: Certificate, rows: Sequence[Row]) -> Iterator[Row]:
    """The rows with the borrower's own figures beside them."""
    stated = certificate.stated
    if stated is None:
        yield from rows
        return
    figures: Mapping[str, tuple[int | None, Callable[[Certificate, Stated, int], str]]] = {
        "gross": (stated.gross_minor, _about_gross),
        "eligible": (stated.eligible_minor, _about_eligible),
        "base": (stated.base_minor, _about_base),
        "outstanding": (stated.outstanding_minor, _about_outstanding),
    }
    for row in rows:
        minor, about = figures.get(row.name, (None, _about_outstanding))
        if minor is None or row.amount is None:
            yield row
            continue
        more = minor - row.amount.units
        head = f"The borrower's {row.name} {_higher(certificate, more)}"
        note = f"{head}{about(certificate, stated, more)}." if more else f"The borrower's {row.name} agrees."
        yield row._replace(stated=Amount(minor, certificate.exponent), note=note)


def _about_gross(certificate: Certificate, _: Stated, more: int) -> str:
    found = _taken_apart(certificate, abs(more), "value")
    unvalued = certificate.base.unvalued
    if more > 0 and unvalued:
        found += f"; {_counted(unvalued)} no value here"
    return f": {found}"


def _about_eligible(certificate: Certificate, stated: Stated, more: int) -> str:
    """What is left of the difference after that in gross is what the borrower took off less or more than we did."""
    gross_more = 0 if stated.gross_minor is None else stated.gross_minor - certificate.base.gross_minor
    rest = more - gross_more
    about = f": its gross {_higher(certificate, gross_more)}" if gross_more else ""
    if rest == 0:
        return f"{about}, which is all of it"
    joint = ", and" if about else ":"
    took = f"{about}{joint} it took off {_money(certificate, abs(rest))} {'less' if rest > 0 else 'more'}"
    if rest < 0:
        return f"{took} than this certificate"
    return f"{took}; {_taken_apart(certificate, rest, 'eligible')}"


def _about_base(certificate: Certificate, stated: Stated, more: int) -> str:
    """The difference in eligible counts at the average advance rate: x × advance ÷ eligible, rounded down. What it
    leaves over counts as rounding where it is at most one minor unit for each lot."""
    base = certificate.base
    advance = sum(base.advance.values())
    rest, about = more, ""
    if stated.eligible_minor is not None and stated.eligible_minor != base.eligible_minor and base.eligible_minor:
        lent = (stated.eligible_minor - base.eligible_minor) * advance // base.eligible_minor
        rest -= lent
        about = f"; its eligible, at this certificate's average advance rate, makes that {_more(certificate, lent)}"
        if abs(rest) <= base.lots:
            return f"{about}, which is all of it but for rounding"
    if rest <= 0 and about:
        return f"{about}, and something else lower by {_money(certificate, -rest)}, which nothing here explains"
    if rest <= 0:
        return ": nothing in this certificate explains that"
    named = {"of the eligible that is not lent": base.eligible_minor - advance}
    named |= {f"held back by {plain(name)}": amount for name, amount in base.held_back.items()}
    named |= {f"of reserve {plain(name)}": amount for name, amount in base.reserves.items()}
    slack = base.lots if about else 0
    return f"{about}: {_fitting(certificate, rest, named, slack) or _nearest(certificate, rest, named)}"


def _about_outstanding(_certificate: Certificate, _stated: Stated, _more: int) -> str:
    return ": this certificate does not list drawings, repayments and interest; compare those"


def _taken_apart(certificate: Certificate, rest: int, of_a_lot: str) -> str:
    """What would explain an amount, among what was taken and the lots; `of_a_lot`: value or eligible."""
    taken = certificate.base.ineligible
    named = {f"taken for {plain(name)} ({REASONS.get(name, 'ineligible')})": amount for name, amount in taken.items()}
    return (
        _fitting(certificate, rest, named)
        or _one_lot(certificate, rest, of_a_lot)
        or _nearest(certificate, rest, named)
    )


def _fitting(certificate: Certificate, rest: int, named: Mapping[str, int], slack: int = 0) -> str:
    """What adds up to an amount, exactly or, where there is `slack`, but for so much rounding; empty: nothing does."""
    how = "it exactly" if slack == 0 else "the rest but for rounding"
    total, largest = sum(named.values()), _largest(named)
    if abs(total - rest) <= slack:
        return f"{_listed(certificate, largest)} would explain {how}"
    for but, start, sign in (("", 0, 1), ("everything but ", total, -1)):
        for size in range(1, _MOST_TOGETHER + 1):
            for some in combinations(largest[:_MOST_CANDIDATES], size):
                if abs(start + sign * sum(amount for _, amount in some) - rest) <= slack:
                    return f"{but}{_listed(certificate, some)} would explain {how}"
    return ""


def _one_lot(certificate: Certificate, rest: int, of_a_lot: str) -> str:
    """The first lot that explains an amount exactly, by a step or by what it is worth."""
    for line in certificate.lines:
        for name in in_order(line.ineligible):
            if line.ineligible[name] == rest:
                return f"what {plain(name)} took from lot {plain(line.id)} would explain it exactly"
        if of_a_lot == "value" and line.value_minor == rest:
            return f"the value of lot {plain(line.id)} would explain it exactly"
    return ""


def _nearest(certificate: Certificate, rest: int, named: Mapping[str, int]) -> str:
    """The one or two that come nearest to an amount from below, one before two, if they are worth saying."""
    best: tuple[tuple[str, int], ...] = ()
    most = 0
    for size in (1, 2):
        for some in combinations(_largest(named)[:_MOST_CANDIDATES], size):
            found = sum(amount for _, amount in some)
            if most < found <= rest:
                best, most = some, found
    if most * _LEAST_SHARE < rest:
        return "nothing in this certificate explains it"
    left = _money(certificate, rest - most)
    return f"{_listed(certificate, best)} would explain {_money(certificate, most)} of it and leave {left} unexplained"


def _largest(named: Mapping[str, int]) -> list[tuple[str, int]]:
    """What is more than nothing, the largest first."""
    return sorted(((name, amount) for name, amount in named.items() if amount > 0), key=lambda one: (-one[1], one[0]))


def _listed(certificate: Certificate, some: Sequence[tuple[str, int]]) -> str:
    texts = [f"{_money(certificate, amount)} {name}" for name, amount in some]
    return ", ".join(texts[:-1]) + (" and " if len(texts) > 1 else "") + texts[-1]


def _higher(certificate: Certificate, more: int) -> str:
    return f"is {_more(certificate, more)}"


def _more(certificate: Certificate, more: int) -> str:
    return f"{'higher' if more > 0 else 'lower'} by {_money(certificate, abs(more))}"


def _money(certificate: Certificate, minor: int) -> str:
    return Amount(minor, certificate.exponent).text(grouped=True)


def _counted(lots: int) -> str:
    return "1 lot has" if lots == 1 else f"{lots} lots have"
