"""How things stand, told by the journal's amendments and events alone, so that gauges can be written at every tick.

A gauge that comes only when something changes is not there when somebody asks for the last hour, and an alert on a
gauge that is not there is told to be resolved (grafana #105571). So what was said last is kept, with the bookmark of
the series, and said again at each tick. It is kept as JSON by name, and only what changed is written:

    facility|…  currency, base, covenant    alert|…  severity of an open one    said|<asset>  spells, see _Said
    device|…    what was suspected of it    lot|…    its facility and assets    counts, delay    of the pipeline
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pledgewatch_cloud.decide.collateral.covenants import Cover
from pledgewatch_cloud.decide.collateral.result import STEPS
from pledgewatch_cloud.decide.condition import SEVERITIES
from pledgewatch_cloud.decide.currencies import exponent
from pledgewatch_cloud.decide.events import Because, EventType, SaidEvent
from pledgewatch_cloud.series.series import Gauge

# Of one thing about an asset, no more is kept: what is retracted is among the newest, or changes nothing.
SAID_MAX = 16
_LEVELS = {
    EventType.SOURCE_OVERDUE: ("source", 1),
    EventType.SOURCE_FELL_SILENT: ("source", 2),
    EventType.SOURCE_REPORTED_AGAIN: ("source", 0),
    EventType.CONDITION_KNOWN: ("known", 0),
    EventType.CONDITION_BREACHED: ("broken", 2),
    EventType.CONDITION_RESTORED: ("broken", 0),
    EventType.CONDITION_UNKNOWN: ("unknown", 1),
    EventType.CONDITION_KNOWN_AGAIN: ("unknown", 0),
    EventType.MKT_KNOWN: ("known", 0),
    EventType.MKT_EXCEEDED: ("kinetic", 2),
    EventType.MKT_UNCERTAIN: ("kinetic", 1),
    EventType.MKT_RESTORED: ("kinetic", 0),
}
_LASTING = ("cumulative", "budget")  # what no value restores
_COVENANTS = (EventType.COVENANT_BREACHED, EventType.MARGIN_CALLED, EventType.COVER_RESTORED)
_ALERT_ENDS = ("cleared", "withdrawn")
_BROKEN, _UNKNOWN = 2, 1


class _Said(NamedTuple):
    """An event about an asset that stands. `about` is what it is about: a source, or a lot and its limit."""

    id: str
    about: str
    level: int
    at_ms: int


class Source(NamedTuple):
    """How a device's sources stand: the worst level, and since when the first of them is missed; 0: none is."""

    level: int
    since_ms: int


class Standing:
    """What stands after some entries; changes are remembered until they are asked for."""

    def __init__(self, kept: Mapping[str, str]) -> None:
        self._kept = kept
        self._now: dict[str, Any] = {}
        self._touched: set[tuple[str, str]] = set()

    @property
    def changes(self) -> dict[str, str]:
        """What is to be kept anew, by name; empty where nothing is left."""
        return {name: json.dumps(value) if value is not None else "" for name, value in self._now.items()}

    def amend(self, document: Mapping[str, Any]) -> None:
        """Take an amendment of the book."""
        removed = document.get("remove", {})
        for facility in removed.get("facilities", ()):
            self._now[f"facility|{facility}"] = None
        for lot in removed.get("lots", ()):
            self._now[f"lot|{lot}"] = None
        for one in document.get("facilities", ()):
            name = f"facility|{one['id']}"
            self._now[name] = {**(self._get(name) or {}), "currency": one["currency"]}
        for one in document.get("lots", ()):
            before = self._get(f"lot|{one['id']}") or {"assets": []}
            assets = sorted({*before["assets"], one["asset"]})
            self._now[f"lot|{one['id']}"] = {"facility": one["facility"], "asset": one["asset"], "assets": assets}

    def count(self, **more: int) -> None:
        """Add to the running totals."""
        before = self._get("counts") or {}
        self._now["counts"] = before | {name: before.get(name, 0) + value for name, value in more.items()}

    def delayed(self, delay_ms: int) -> None:
        """Remember the longest time that a payload's newest reading took to be received."""
        self._now["delay"] = max(delay_ms, self._get("delay") or 0)

    def longest_delay_ms(self) -> int:
        """It, since it was last asked for."""
        longest = int(self._get("delay") or 0)
        self._now["delay"] = None
        return longest

    def say(self, said: Iterable[SaidEvent]) -> None:
        """Take the events of an entry."""
        events = late = retractions = 0
        for one in said:
            events += 1
            late += one.because == Because.LATE_READING
            kind = one.event.type
            if kind is EventType.EVENT_RETRACTED:
                retractions += 1
                self._retract(one)
            elif kind in _LEVELS:
                self._take(one)
            elif kind is EventType.BASE_RECOMPUTED or kind in _COVENANTS:
                self._take_facility(one)
            elif kind.startswith("alert_"):
                self._take_alert(one)
            elif kind in (EventType.TAMPER_SUSPECTED, EventType.CLOCK_DOUBTED):
                self._suspect(str(one.event.fact("device")), kind)
        if events:
            self.count(events=events, late_events=late, retractions=retractions)

    def gauges(self, entry: int, now_ms: int, *, is_every: bool) -> Iterator[Gauge]:
        """Gauges of facilities, alerts and conditions: of every one, or of those that an event has touched since."""
        touched, self._touched = self._touched, set()
        for name in sorted(self._names("facility") if is_every else (one for kind, one in touched if kind == "cover")):
            if values := self._cover(name):
                yield Gauge("cover", name, now_ms, str(entry), values)
        if is_every or any(kind == "alerts" for kind, _ in touched):
            severities = [self._get(f"alert|{one}") for one in self._names("alert")]
            for severity in SEVERITIES:
                yield Gauge("alerts", severity, now_ms, str(entry), {"open": severities.count(severity)})
        for lot in sorted(self._names("lot") if is_every else (one for kind, one in touched if kind == "condition")):
            if values := self._condition(lot):
                yield Gauge("condition", lot, now_ms, str(entry), values)

    def sources(self, asset: str) -> dict[str, Source]:
        """How the sources of an asset's devices stand, by device; those that are missed or have been."""
        found: dict[str, Source] = {}
        if f"said|{asset}" not in self._now and '"source|' not in self._kept.get(f"said|{asset}", ""):
            return found  # nearly all: nothing was ever missed of them
        for about, spell in _newest(self._said(asset)).items():
            kind, device, _ = about.split("|", 2)
            if kind == "source":
                before = found.get(device, Source(0, 0))
                since = [one for one in (before.since_ms, _since_ms(spell)) if one]
                found[device] = Source(max(before.level, spell[-1].level), min(since, default=0))
        return found

    def facilities(self) -> dict[str, str]:
        """The facilities whose lots are in each asset now, by asset; several with commas between them."""
        found: dict[str, set[str]] = {}
        for lot in self._names("lot"):
            known = self._get(f"lot|{lot}")
            found.setdefault(known["asset"], set()).add(known["facility"])
        return {asset: ",".join(sorted(every)) for asset, every in found.items()}

    def suspected(self, device: str) -> dict[str, int]:
        """How often something was suspected of a device."""
        found: dict[str, int] = self._get(f"device|{device}") or {}
        return {"tampers": found.get("tampers", 0), "clock_doubts": found.get("clock_doubts", 0)}

    @property
    def counts(self) -> dict[str, int]:
        """The running totals."""
        return dict(self._get("counts") or {})

    def _get(self, name: str) -> Any:
        if name in self._now:
            return self._now[name]
        text = self._kept.get(name)
        return json.loads(text) if text else None

    def _names(self, kind: str) -> set[str]:
        """What is kept of a kind."""
        start = f"{kind}|"
        every = self._kept.keys() | self._now.keys() if self._now.keys() - self._kept.keys() else self._kept
        return {one[len(start) :] for one in every if one.startswith(start) and self._now.get(one, one) is not None}

    def _said(self, asset: str) -> list[_Said]:
        return [_Said(*one) for one in self._get(f"said|{asset}") or ()]

    def _take(self, said: SaidEvent) -> None:
        one, facts = said.event, dict(said.event.facts)
        kind, level = _LEVELS[one.type]
        if kind == "source":
            about = f"source|{facts['device']}|{facts.get('channel', '')}"
        else:
            lasting = f"|{facts['kind']}" if facts.get("kind") in _LASTING else ""
            about = f"{kind}|{facts['lot']}|{facts.get('limit', '')}{lasting}"
            self._touched.add(("condition", str(facts["lot"])))
        every = [*self._said(one.subject), _Said(said.id, about, level, one.at_ms)]
        same = [other for other in every if other.about == about]
        if len(same) > SAID_MAX:
            every.remove(min(same, key=lambda other: other.at_ms))
        self._now[f"said|{one.subject}"] = every

    def _retract(self, said: SaidEvent) -> None:
        asset, retracted = said.event.subject, said.event.fact("retracted")
        before = self._said(asset)
        after = [one for one in before if one.id != retracted]
        if len(after) < len(before):
            self._now[f"said|{asset}"] = after or None
            self._touched |= {("condition", one.about.split("|")[1]) for one in before if one.id == retracted}

    def _take_facility(self, said: SaidEvent) -> None:
        """The base without what changed it; nothing of a facility that is not in the book any more."""
        name, facts = f"facility|{said.event.subject}", dict(said.event.facts)
        before = self._get(name)
        if before is None:
            return
        if said.event.type is EventType.BASE_RECOMPUTED:
            more: dict[str, Any] = {"base": {key: facts[key] for key in facts if not key.startswith("change_")}}
        else:
            more = {"covenant": {key: facts[key] for key in ("cover", "call_minor", "cure_by_ms") if key in facts}}
        self._now[name] = {**before, **more}
        self._touched.add(("cover", said.event.subject))

    def _take_alert(self, said: SaidEvent) -> None:
        facts = dict(said.event.facts)
        is_over = said.event.type is EventType.ALERT_WITHDRAWN or facts.get("state") in _ALERT_ENDS
        self._now[f"alert|{facts['alert']}"] = None if is_over else facts["severity"]
        self._touched.add(("alerts", ""))

    def _suspect(self, device: str, kind: EventType) -> None:
        what = "tampers" if kind is EventType.TAMPER_SUSPECTED else "clock_doubts"
        before = self.suspected(device)
        self._now[f"device|{device}"] = before | {what: before[what] + 1}

    def _cover(self, facility: str) -> dict[str, int | str]:
        """Empty before its first base."""
        known = self._get(f"facility|{facility}") or {}
        if "base" not in known:
            return {}
        covenant = known.get("covenant", {})
        return {
            **{f"ineligible_{name}": 0 for name in STEPS},
            **known["base"],
            "currency": known["currency"],
            "scale": 10 ** exponent(known["currency"]),
            "call_minor": covenant.get("call_minor", 0),
            "cure_by_ms": covenant.get("cure_by_ms", 0),
            "cover": int(Cover[str(covenant.get("cover", "clear")).upper()]),
        }

    def _condition(self, lot: str) -> dict[str, int | str]:
        """A lot's limits over all its assets, with the asset that is worst off; empty for a lot that is in no book."""
        levels: list[tuple[int, str]] = []
        known = self._get(f"lot|{lot}") or {"assets": ()}
        for asset in known["assets"]:
            for about, spell in _newest(self._said(asset)).items():
                kind, of_lot, _ = about.split("|", 2)
                if kind != "source" and of_lot == lot:
                    levels.append((spell[-1].level, asset))
        if not levels:
            return {}
        every = [level for level, _ in levels]
        state, asset = max(levels)
        more = {"state": state, "broken": every.count(_BROKEN), "unknown": every.count(_UNKNOWN)}
        return {"asset": asset, "facility": known["facility"], **more}


def _newest(every: list[_Said]) -> dict[str, list[_Said]]:
    """What was said of each thing, in order of time."""
    found: dict[str, list[_Said]] = {}
    for one in sorted(every, key=lambda other: other.at_ms):
        found.setdefault(one.about, []).append(one)
    return found


def _since_ms(spell: list[_Said]) -> int:
    """Since when a source is missed without a break; 0 where it is not."""
    since_ms = 0
    for one in reversed(spell):
        if not one.level:
            break
        since_ms = one.at_ms
    return since_ms
