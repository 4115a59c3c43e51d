"""What happens in the trade while money is waiting for it: a book with milestones, and who hands in what, and when.

Two facilities, each with a shipment, its lots and a handful of milestones that ask for all sorts of facts. Papers are
given, withdrawn, replaced, ended by others and said anew; devices tell of the voyage, one with a jump onto the berth
and back, one with warm goods. All of it is handed in in any order, late and twice, some as files and some by the API,
which is the same to the spine.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any, NamedTuple

from builders import LOS_ANGELES, MINUTE_MS, NOON_MS, Device, fence, position, temperature

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.drafts import Draft
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.spine.spine import Spine
from pledgewatch_wire.reading import Reading

HOUR_MS = 60 * MINUTE_MS
FACILITIES = {"facility-1": ("USD", 5_000_000), "facility-2": ("EUR", 0)}
BOXES = {"MSKU1234565": "facility-1", "CSQU3054383": "facility-1", "TGHU7301220": "facility-2"}
BERTH, ROADS = (337_000_000, -1_183_000_000), (337_000_000, -1_193_000_000)
"""Inside the fence, and some ninety kilometres outside: no container goes there and back in twenty minutes."""

# What is said of a shipment, by whom, and what ends it.
PAPERS = {
    "bill_of_lading_issued": ("carrier", "bill_of_lading_voided"),
    "vessel_loaded": ("carrier", ""),
    "available_for_pickup": ("carrier", ""),
    "hold_placed": ("customs", "hold_lifted"),
    "customs_cleared": ("customs", "customs_refused"),
    "insurance_bound": ("insurer", "insurance_cancelled"),
    "invoice_confirmed": ("buyer", "invoice_disputed"),
    "goods_received": ("warehouse", ""),
}
ALWAYS_TOLD = {"loaded", "kept"}
"""Milestones that others wait for; of the rest a facility has one."""
CONTAINER_KINDS = {"vessel_loaded", "available_for_pickup", "hold_placed", "hold_lifted"}


Do = Callable[[Spine], object]


class Act(NamedTuple):
    """Something that somebody does in a round, again and again until it is acknowledged."""

    round: int
    do: Do


class Story:
    """All that one seed makes happen."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.devices = [Device(f"tracker-{box.lower()}", seed=number) for number, box in enumerate(BOXES, start=1)]
        self.submissions: list[tuple[str, str]] = []
        self.milestones = [one for name in FACILITIES for one in self._milestones(name)]

    def book(self) -> dict[str, Any]:
        """The book's first amendment."""
        return {
            "fences": {"type": "FeatureCollection", "features": [fence("los-angeles", LOS_ANGELES)]},
            "assets": [{"id": box, "kind": "container"} for box in BOXES],
            "installations": [
                {
                    "device": device.name,
                    "operator": "harbour-line",
                    "asset": box,
                    "public_key": device.public_key,
                    "silent_after_s": 36_000,
                }
                for device, box in zip(self.devices, BOXES, strict=True)
            ],
            "facilities": [
                {
                    "id": name,
                    "lender": "bank",
                    "borrower": "exporter",
                    "currency": currency,
                    "outstanding_minor": outstanding_minor,
                    "limit_minor": 30_000_000,
                }
                for name, (currency, outstanding_minor) in FACILITIES.items()
            ],
            "prices": [
                {"sku": f"sofa-{name}", "unit_price_minor": 20_000, "currency": currency}
                for name, (currency, _) in FACILITIES.items()
            ],
            "lots": [self._lot(box) for box in BOXES],
            "parties": [{"id": "bank", "name": "Example Bank"}, {"id": "exporter", "name": "Example Exporter"}],
            "senders": [
                *({"id": one} for one in ("carrier", "customs", "insurer", "warehouse")),
                {"id": "buyer", "grade": self.random.choice(("good", "fair"))},
            ],
            "shipments": [
                {
                    "id": f"shipment-{name}",
                    "facility": name,
                    "lots": [f"lot-{box}" for box, home in BOXES.items() if home == name],
                    "about": {"bill_of_lading": [f"BL-{name}"], "customs": [f"CUS-{name}"]},
                }
                for name in FACILITIES
            ],
            "milestones": self.milestones,
        }

    def acts(self, rounds: int) -> list[Act]:
        """Everything that is handed in, some of it twice. What follows on another does so within a few rounds, or comes
        a little before it, so that it often meets a release that is under way."""
        acts = []
        for tale in (*self._papers_handed_in(), *self._readings(), *self._people()):
            at_round = self.random.randrange(1, rounds)
            for do in tale:
                acts += [Act(at_round + self.random.randrange(20), do)] * (self.random.random() < 0.2)
                acts.append(Act(at_round, do))
                at_round = max(1, at_round + self.random.randrange(-2, 7))
        self.random.shuffle(acts)
        return acts

    def _lot(self, box: str, **changes: Any) -> dict[str, Any]:
        return {
            "id": f"lot-{box}",
            "asset": box,
            "facility": BOXES[box],
            "sku": f"sofa-{BOXES[box]}",
            "quantity": 1_000,
            "haircut_bp": 2_000,
            "limits": [{"channel": "temperature_mc", "low": 2_000, "high": 8_000, "grace_s": 600}],
            **changes,
        }

    def _milestones(self, name: str) -> list[dict[str, Any]]:
        box = next(box for box, home in BOXES.items() if home == name)
        goods, lot = {"shipment": f"shipment-{name}"}, {"lot": f"lot-{box}"}
        gated_in = {"fact": "gated_in", "fence": "los-angeles"}
        papers: list[dict[str, Any]] = [{"fact": one} for one in ("insurance_bound", "goods_received")]
        papers.insert(1, {"fact": "invoice_confirmed", "sender": "buyer"})
        end = iso(NOON_MS + self.random.randrange(2, 30) * HOUR_MS)
        fixed = {"amount_minor": 700_000 + self.random.randrange(9)}
        described: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], tuple[str, ...], str]] = [
            ("loaded", goods, {"all": [{"fact": "bill_of_lading_issued"}, {"fact": "vessel_loaded"}]}, fixed, (), ""),
            (
                "cleared",
                goods,
                {"all": [{"fact": "customs_cleared", "sender": "customs"}, {**gated_in, "dwell_s": 1_800}]},
                {"share_bp": 1_500, "of": "value"},
                (f"loaded-{name}",),
                "",
            ),
            ("kept", lot, {"upon": gated_in, "that": {"fact": "condition_kept"}}, fixed, (), ""),
            ("papers", goods, {"at_least": 2, "of": papers}, {"share_bp": 500, "of": "limit"}, (), end),
            (
                "pickup",
                goods,
                {
                    "all": [
                        {"not": {"fact": "on_hold"}},
                        {"fact": "available_for_pickup"},
                        {"fact": "ltv_below", "ltv_bp": 7_000},
                    ]
                },
                fixed,
                (),
                "",
            ),
            ("soon", goods, {"within_days": 1, "after": {"fact": "vessel_loaded"}, "that": gated_in}, fixed, (), ""),
            ("counted", lot, {"all": [{"fact": "stock_counted"}, {"by": end, "that": gated_in}]}, fixed, (), ""),
            (
                "insured",
                goods,
                {"any": [{"fact": "insurance_bound"}, {"fact": "milestone_released", "milestone": f"loaded-{name}"}]},
                fixed,
                (f"kept-{name}",),
                "",
            ),
        ]
        told = {*ALWAYS_TOLD, self.random.choice([one for one, *_ in described if one not in ALWAYS_TOLD])}
        return [
            {
                "id": f"{one}-{name}",
                "facility": name,
                "payee": "exporter",
                **about,
                "when": when,
                "release": release,
                **({"after": list(after)} if after else {}),
                **({"expires_at": expires} if expires else {}),
            }
            for one, about, when, release, after, expires in described
            if one in told
        ]

    def _papers_handed_in(self) -> Iterator[list[Do]]:
        for name in FACILITIES:
            asked = json.dumps([one for one in self.milestones if one["facility"] == name])
            for kind, (sender, _) in PAPERS.items():
                if ("on_hold" if kind == "hold_placed" else kind) not in asked:
                    continue
                pieces = self._parted(list(self._papers(name, kind)), 2)
                texts = [json.dumps({"notices": some}) for some in pieces]
                self.submissions += [(sender, text) for text in texts]
                yield [_asking(drafts.submit, sender, "plain", text) for text in texts]

    def _papers(self, name: str, kind: str) -> Iterator[dict[str, Any]]:
        """What is said of one kind: given, and then taken back, replaced, ended by another, and given anew."""
        random, end = self.random, PAPERS[kind][1]
        if random.random() < (0.5 if kind == "hold_placed" else 0.1):
            return
        at_ms = NOON_MS + random.randrange(10 * 60) * MINUTE_MS
        yield self._notice(name, kind, 1, at_ms)
        for number in range(2, 2 + random.randrange(4)):
            at_ms += random.randrange(-60, 90) * MINUTE_MS
            what, last = random.random(), f"{kind}-{name}-{number - 1}"
            if what < 0.3:
                yield self._notice(name, kind, number, at_ms, replaces=last)
            elif what < 0.5 and end:
                yield self._notice(name, end, number, at_ms)
                yield {"id": f"{end}-{name}-{number}-back", "withdraws": f"{end}-{name}-{number}"}
            else:
                yield {"id": f"{last}-back", "withdraws": last}
                if random.random() < 0.7:
                    yield self._notice(name, kind, number, at_ms)

    def _notice(self, name: str, kind: str, number: int, at_ms: int, **more: str) -> dict[str, Any]:
        boxes = [box for box, home in BOXES.items() if home == name]
        if kind in CONTAINER_KINDS:
            about = {"container": boxes}
        elif kind.startswith("customs"):
            about = {"customs": [f"CUS-{name}"]}
        elif kind.startswith("bill"):
            about = {"bill_of_lading": [f"BL-{name}"]}
        else:
            about = {"shipment": [f"shipment-{name}"]}
        return {"id": f"{kind}-{name}-{number}", "kind": kind, "happened_at": iso(at_ms), "about": about, **more}

    def _readings(self) -> Iterator[list[Do]]:
        for device in self.devices:
            arrives, jumps = self.random.randrange(2, 6), self.random.random() < 0.7
            warm = self.random.randrange(12)
            jump = []
            for hour in range(6):
                at_ms = NOON_MS + hour * HOUR_MS
                self._measure(device, at_ms, BERTH if hour >= arrives else ROADS, is_warm=hour >= warm)
                if jumps and hour == arrives - 2:
                    jump = [self._measure(device, at_ms + 10 * MINUTE_MS, BERTH, is_warm=False)]
                    self._measure(device, at_ms + 20 * MINUTE_MS, ROADS, is_warm=False)
            pieces = self._parted(device.readings, 6)
            arrivals = [device.arrival(some) for some in pieces[:-1]]
            arrivals.append(device.arrival(pieces[-1], [device.checkpoint()]))
            if self.random.random() < 0.5:
                self.random.shuffle(arrivals)
            if jump and self.random.random() < 0.7:
                arrivals.insert(self.random.randrange(2), device.arrival(jump))
            yield [partial(Spine.take, arrivals=[one]) for one in arrivals]

    def _measure(self, device: Device, at_ms: int, place: tuple[int, int], *, is_warm: bool) -> Reading:
        return device.measure(at_ms, *position(place), temperature(9_500 if is_warm else 5_000))

    def _people(self) -> Iterator[list[Do]]:
        """Waivers, counts, senders whose word is worth less for a while, milestones that change or leave the book."""
        for one in self.random.sample(self.milestones, self.random.randrange(3)):
            yield [_asking(drafts.waive, one["id"], "credit-officer", "known customer")]
        counted = {one["lot"] for one in self.milestones if one["id"].startswith("counted-")}
        for box in BOXES:
            if f"lot-{box}" not in counted:
                continue
            counted_at = iso(NOON_MS + self.random.randrange(9) * HOUR_MS)
            counts = [self._lot(box, counted=one, counted_at=counted_at) for one in (1_000, 999, 1_000)]
            yield [_asking(drafts.amend, {"lots": [lot]}) for lot in counts[: self.random.randrange(4)]]
        if self.random.random() < 0.6:
            sender = self.random.choice(("carrier", "customs", "insurer"))
            grades = [{"senders": [{"id": sender, "grade": grade}]} for grade in ("fair", "good")]
            yield [_asking(drafts.amend, one) for one in grades[: self.random.randrange(1, 3)]]
        if self.random.random() < 0.3:
            one = self.random.choice(self.milestones)
            terms = [{**one, "release": {"amount_minor": 900_000}}, one]
            yield [_asking(drafts.amend, {"milestones": [some]}) for some in terms[: self.random.randrange(1, 3)]]
        if self.random.random() < 0.3:
            waited_for = {one for other in self.milestones for one in other.get("after", ())}
            waited_for |= {f"loaded-{name}" for name in FACILITIES}
            gone = self.random.choice([one for one in self.milestones if one["id"] not in waited_for])
            back = _asking(drafts.amend, {"milestones": [gone]})
            out: list[Do] = [partial(_without, milestone=gone["id"]), back]
            yield out[: self.random.randrange(1, 3)]

    def _parted(self, some: list[Any], most: int) -> list[list[Any]]:
        """In pieces of at most some length, in order."""
        pieces, place = [], 0
        while place < len(some):
            step = self.random.randrange(1, most + 1)
            pieces.append(some[place : place + step])
            place += step
        return pieces


def _asking(asked: Callable[..., Draft | None], *words: Any) -> Do:
    """That something is asked for; see decide/drafts."""
    return lambda spine: spine.commit(asked, *words)


def _without(spine: Spine, milestone: str) -> None:
    """Take a milestone out of the book, if it is in it."""
    if milestone in spine.state.book.milestones:
        spine.commit(drafts.amend, {"remove": {"milestones": [milestone]}})
