"""Everything that can be read from the API, asked as a user, and the answers in a form in which two worlds can be held
against each other: status, headers and bytes.

Some things in an answer are not of what it tells alone: the head of a receipt's acts and the chain of a device's
readings are hashes of all that came before, and an event's id tells its place among all that were said with it. So
these are called by their place among what is seen (`plain`). Everything else must be the same to the letter.
"""

import base64
import functools
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from api_cloud import shown
from asking import Got, answers
from builders import MINUTE_MS, NOON_MS
from receipting import FIRST, OTHER_WAREHOUSE, WAREHOUSE
from seeing import HALL_LOT, OPERATOR, OTHER_LINE, OTHER_OPERATOR, SEA_LOT, SECOND, SECOND_LOT, USERS
from streaming import Told, told_until_quiet
from twin_world import (
    DEVICES,
    HALL_TWO,
    HALL_TWO_LOT,
    LINE,
    MILESTONES,
    MIX,
    MIX_ONE,
    MIX_TWO,
    NIGHT_BOX,
    THIRD,
    TURN,
    TURN_LINE,
    TURN_LOT,
    TwinWorld,
)
from warehouses import BOX, GATE, HALL

from pledgewatch_cloud.api.etags import tag_of
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.trade.dcsa_out import uuid
from pledgewatch_cloud.decide.trade.epcis_out import event_id

WORDS: dict[str, tuple[str, ...]] = {
    "asset": (BOX, HALL, GATE, MIX, TURN, HALL_TWO, NIGHT_BOX),
    "channel": ("temperature_mc", "humidity_cpercent", "latitude_e7"),
    "facility": (LINE, OTHER_LINE, TURN_LINE),
    "lot": (SEA_LOT, HALL_LOT, SECOND_LOT, MIX_ONE, MIX_TWO, TURN_LOT, HALL_TWO_LOT),
    "fence": ("yard", "yard-two", "port", "closed-bay"),
    "milestone": tuple(MILESTONES),
    "receipt": (FIRST, SECOND, THIRD),
    "number": ("0", "1", "2"),
    "purpose": ("revocation",),
    "warehouse": (WAREHOUSE, OTHER_WAREHOUSE),
    "case": ("case-1", "case-2"),
    "by": ("vessel", "country", "warehouse"),
    "capture_id": ("1",),
    "message_id": ("1",),
    "series": ("two-goods", "dear-goods"),
    "operator": (OPERATOR, OTHER_OPERATOR),
    "currency": ("USD",),
    "device": tuple(DEVICES.values()),
    "command": ("1",),
    "notice": ("carrier/loaded-one", "carrier/loaded-two", *(f"carrier/notice-{number}" for number in range(1, 12))),
}
"""What there is in the place of a path's parameters."""
APART = {"/live", "/events/{event}"}
"""What is asked in a way of its own: the one does not end, and an event has another id in each world (`one_by_one`)."""
GLANCED = {
    *(
        "/alerts",
        "/assets",
        "/book",
        "/clusters",
        "/devices",
        "/devices?battery=true",
        "/events",
        "/facilities",
        "/lots",
    ),
    *(
        "/audit",
        "/receipts",
        "/stock",
        "/viewer",
        *(f"/facilities/{line}/ltv" for line in (LINE, OTHER_LINE, TURN_LINE)),
    ),
    *(f"/assets/{asset}/{what}" for asset in (BOX, HALL, TURN) for what in ("last", "series/temperature_mc")),
}
_PLACE = re.compile(r"{(\w+)(?::\w+)?}")
_TOKEN = re.compile(r"eyJ[\w-]+\.([\w-]+)\.[\w-]+")
_NAMED = re.compile(
    r"""(?<=%09)\d+\.\d+(?=%09)|(?<=["=])\d+\.\d+(?=[\\"&>;]|$)|\b[0-9a-f]{64}\b|urn:[\w:.%/-]+"""
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)
"""An event's id, the head of a receipt, a name that is made of an event's id, the same as a UUID."""
_SUMS = re.compile(r'"(unknown_ms|outside_ms|excess)":\d+')
"""What an event was found by, summed over what was before a pledge, too (docs/ACCESS.md, What this is not)."""
_CHAIN = re.compile(r'"chain_hash":"[0-9a-f]+"')


class Asked(NamedTuple):
    """A request, without who makes it."""

    path: str
    accept: str = ""

    @property
    def route(self) -> str:
        """Its path alone."""
        return self.path.partition("?")[0]


class Answer(NamedTuple):
    """What somebody was answered, as far as it can be held against another world."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: str


class Names:
    """What the hashes of a world are called for a user, and the ids of the events that they are told."""

    def __init__(self, world: TwinWorld, user: str) -> None:
        self._of: dict[str, str] = {}
        for said in world.store.events(0, 10**6):
            head = dict(said.event.facts).get("head")
            if isinstance(head, str):
                self._of.setdefault(head, f"act {len(self._of)}")
        counted = Counter[str]()
        for one in world.get(user, "/events?limit=10000")["events"]:
            entry = one["id"].partition(".")[0]
            self._of[one["id"]] = name = f"{entry}.#{counted[entry]}"
            counted[entry] += 1
            urn = event_id(world.store.journal, one["id"])
            self._of |= {urn: f"event {name}", uuid(urn): f"uuid {name}"}

    def plain(self, text: str) -> str:
        """A text in which hashes and events have their names, and what is signed is what it says."""
        text = _SUMS.sub(r'"\1":0', text)
        text = _CHAIN.sub('"chain_hash":""', _TOKEN.sub(lambda one: _decoded(one[1]), text))
        return _NAMED.sub(lambda one: self._of.get(one[0], one[0]), text)


def _decoded(payload: str) -> str:
    return base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode()


def everything(world: TwinWorld) -> list[Asked]:
    """Every route that is read, with several sets of parameters each."""
    schema = world.client.get("/openapi.json").json()["paths"]
    found = []
    for path, methods in sorted(schema.items()):
        if "get" not in methods or path in APART:
            continue
        for query in dict.fromkeys((*_queries(world, path), *_lists(methods["get"]))):
            found += [Asked(one, accept) for one in _filled(path + query) for accept in ("", *_accepts(path))]
    return found


def glanced(some: list[Asked]) -> list[Asked]:
    """Of what can be read, what is read in passing while a story goes on."""
    return [one for one in some if one.path in GLANCED]


def _filled(path: str) -> Iterator[str]:
    names = _PLACE.findall(path)
    for words in itertools.product(*(WORDS[name] for name in names)):
        yield _PLACE.sub(functools.partial(_next_of, iter(words)), path)


def _next_of(words: Iterator[str], _found: re.Match[str]) -> str:
    return next(words)


def _accepts(path: str) -> tuple[str, ...]:
    tables = ("/assets", "/lines", "/periods", "/series/{channel}")
    return ("text/csv",) if path.endswith(tables) else ()


def _lists(method: dict[str, Any]) -> Iterator[str]:
    """A page of each list, and each of its filters by what there is."""
    names = {one["name"] for one in method.get("parameters", ()) if one["in"] == "query"}
    if "limit" in names and "after" in names:
        yield "?limit=1"
        yield "?limit=1&after=m"
    for name in sorted(names & WORDS.keys()):
        yield from (f"?{name}={word}" for word in WORDS[name])


def _queries(world: TwinWorld, path: str) -> tuple[str, ...]:
    """What a route is asked for, by the end of its path; `events` are three lists with parameters of their own."""
    now_ms, middle = world.keeping.clock.at_ms, world.entry // 2
    early, noon, late = (iso(NOON_MS + (now_ms - NOON_MS) * part // 4).replace("+", "%2B") for part in range(1, 4))
    whole = f"?from_ms={NOON_MS - 86_400_000}&to_ms={now_ms + 86_400_000}"
    events = {
        "/events": ("?limit=1", "?limit=3", *(f"?limit=2&after_entry={one}" for one in range(8, world.entry, 9))),
        "/epcis/events": (
            *("?perPage=2", "?perPage=1&nextPageToken=30.0"),
            *(f"?GE_recordTime={noon}", f"?LT_eventTime={noon}"),
        ),
        "/dcsa/events": ("?limit=2", "?limit=1&cursor=30.0", f"?eventCreatedDateTime:gte={noon}"),
    }
    of: dict[str, tuple[str, ...]] = {
        "base": (f"?as_of={early}&known_at={noon}", f"?as_of={late}"),
        "{channel}": (f"?limit=2&from_ms={NOON_MS}&to_ms={(now_ms + NOON_MS) // 2}",),
        "clusters": ("?zoom=9&bbox=-119,33,-117,35", "?zoom=0"),
        "alerts": ("?silenced=true", "?silenced=false", "?state=open", "?state=acknowledged", "?severity=critical"),
        "assets": ("?state=breached", "?state=unknown", "?fence=closed-bay", "?find=box"),
        "acts": ("?limit=1", f"?after_entry={middle}", f"?after_entry={middle}&limit=2"),
        "receipts": ("?limit=1", "?pledgee=bank-two", "?state=pledged", "?holder=sofa-works"),
        "lots": ("?sku=SOFA-3", "?sku=SEA-SKU"),
        "facilities": ("?lender=bank-one", "?borrower=importer"),
        "devices": ("?battery=true",),
        "cases": ("?with_closed=true",),
        "milestones": ("?state=met", "?state=waiting"),
        "stock": (f"?at={noon}", "?sku=SOFA-3&limit=1", "?limit=1&offset=1"),
        "periods": ("?by=day",),
        "sell-through": ("?days=2",),
        "fences": ("?kind=warehouse",),
    }
    needed = {
        "stretches": tuple(f"{whole}&step_ms={step}" for step in (60_000, 7 * MINUTE_MS, 3_600_000, 2**35)),
        "{by}": ("?currency=USD",),
    }
    end = path.rpartition("/")[2]
    return needed[end] if end in needed else ("", *events.get(path, of.get(end, ())))


def asked(
    world: TwinWorld, user: str, some: Iterable[Asked], tags: dict[Asked, str] | None = None
) -> dict[Asked, Answer]:
    """What a user is answered. An answer must not fail, and its tag be of its bytes alone. `tags` are those of what the
    user has been answered before, which is asked for only if it is another now; they are then those of these answers.
    """
    tags = {} if tags is None else tags
    world.feeder.catch_up()
    names, some = Names(world, user), list(some)
    key = shown(USERS[user].key)
    accepts = ({"accept": one.accept} if one.accept else {} for one in some)
    known = ({"if-none-match": tags[one]} if one in tags else {} for one in some)
    requests = [(one.path, key | accept | has) for one, accept, has in zip(some, accepts, known, strict=True)]
    return {
        one: _held(user, one, answer, names, tags)
        for one, answer in zip(some, answers(world.client.app, requests), strict=True)
    }


def _held(user: str, one: Asked, answer: Got, names: Names, tags: dict[Asked, str]) -> Answer:
    assert answer.status < 500, (user, one, answer.body)
    headers = answer.headers
    headers.pop("content-length", "")
    media_type = headers.get("content-type", "")
    if tag := headers.pop("etag", ""):
        assert tag == (tags[one] if answer.status == 304 else tag_of(media_type, answer.body)), one
        tags[one] = tag
    told = sorted((name, names.plain(value)) for name, value in headers.items())
    return Answer(answer.status, tuple(told), names.plain(answer.body.decode()))


def one_by_one(world: TwinWorld, user: str) -> list[Answer]:
    """Each event that a user is told, asked for by its id; what they are not told is not there by its id either."""
    seen = [one["id"] for one in world.get(user, "/events?limit=10000")["events"]]
    hidden = [one.id for one in world.store.events(0, 10**6) if one.id not in set(seen)]
    found = asked(world, user, [Asked(f"/events/{one}") for one in (*seen[::3], *hidden[::7])])
    answers_of = list(found.values())
    told, untold = answers_of[: len(seen[::3])], answers_of[len(seen[::3]) :]
    assert all(one.status == 200 for one in told), user
    assert all(one.status == 404 for one in untold), user
    return told


def followed(world: TwinWorld, user: str, after_entry: int = 0, last_event_id: str = "") -> list[str]:
    """What the stream of changes tells a user, message by message."""
    names = Names(world, user)
    told = told_until_quiet(world.client.app, USERS[user].key, after_entry, last_event_id)
    return [names.plain(_line(one)) for one in told]


def _line(one: Told) -> str:
    return json.dumps([one.id, one.event, json.loads(one.data or "null")], separators=(",", ":"))
