"""A client of the API for Python: pages followed, answers that are known not fetched again, writes that may be said
twice, the stream of changes taken up where it was cut.

    with Client("https://pledgewatch.example", key) as client:
        for lot in client.lots(facility="autumn-line"):
            ...
        client.move("autumn-line", {"movements": [...]})
        for change in client.changes(after_entry=812):
            ...

Each noun has its method, which gives the type of its answer (pledgewatch_cloud.answers), and so has each write; `get`,
`each` and `write` are for whatever has none: formats that are others'. Acts and counts are signed before they come
here. A sender's token is shown as a key is; one that signs what it hands in says with which headers, by `sign`.

It needs httpx2, and of this package those types alone. Every call raises ApiError where the API refuses, and httpx2's
errors where it cannot be reached.
"""

import json
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeVar
from urllib.parse import quote, urljoin

import httpx2

from pledgewatch_cloud.answers.devices import (
    Claimed,
    CommandAsked,
    CommandResult,
    Confirmed,
    Device,
    DeviceCare,
    Identity,
    Invited,
    Renewed,
    Revoked,
    SettingsAsked,
)
from pledgewatch_cloud.answers.document import Document
from pledgewatch_cloud.answers.found import Alert, Event, EventWithSource
from pledgewatch_cloud.answers.lending import (
    BaseAt,
    Evidence,
    Exposure,
    Facility,
    FacilityWithLines,
    Line,
    Lot,
    LotWithLine,
    Ltv,
    Market,
    MilestoneExplained,
    MilestoneListed,
    Prices,
    Rates,
    Stress,
    Trail,
)
from pledgewatch_cloud.answers.places import Asset, Clusters, Fence, FenceWithAssets, Last, Series, SeriesStretches
from pledgewatch_cloud.answers.running import (
    Access,
    DeadLetter,
    Delivery,
    Endpoint,
    Health,
    LetterMoved,
    Quarantined,
    Registry,
    Replayed,
    Resumed,
    Status,
    Viewer,
)
from pledgewatch_cloud.answers.trade import (
    Act,
    Case,
    CaseInFull,
    CountTask,
    Issuer,
    Notice,
    Receipt,
    Register,
    SellThrough,
    Stock,
    StockPeriods,
    Unmatched,
)
from pledgewatch_cloud.answers.written import (
    ActTaken,
    Captured,
    CapturedEvent,
    CountTaken,
    Noticed,
    Reported,
    Said,
    Written,
)

_Answer = TypeVar("_Answer")
Sign = Callable[[bytes], Mapping[str, str]]
"""The headers that sign a body, made anew for each time it is sent."""
_JSON, _JOSE = "application/json", "application/jose"
_FORMS = {"json": _JSON, "csv": "text/csv", "x12": "application/edi-x12"}
_ITEMS = ("features", "receipts", "events", "acts", "rows", "goods", "items", "exposures")
"""What the items of a list are called that is an object."""
KNOWN_MAX = 64
"""Answers that are kept by their tag; of more, the one that was asked for longest ago is let go."""
_AGAIN_MAX = 5
_AGAIN = frozenset({409, 429, 503})


class ApiError(Exception):
    """The API has refused: its status, why, and every fault."""

    def __init__(
        self, status: int, detail: str, errors: tuple[str, ...] = (), retry_after_s: float | None = None
    ) -> None:
        super().__init__("; ".join((f"{status}: {detail}", *errors)))
        self.status, self.detail, self.errors, self.retry_after_s = status, detail, errors, retry_after_s


class Change(NamedTuple):
    """An event as it was committed. `id` is what to go on from."""

    id: str
    type: str
    event: Event


class Client:
    """One address, one key. Not for use by two threads at once."""

    def __init__(
        self, url: str, key: str = "", *, sign: Sign | None = None, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._sign = sign
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx2.Client(base_url=url, headers=headers, transport=transport, timeout=30)
        self._known: OrderedDict[str, tuple[str, bytes]] = OrderedDict()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, **query: str | int) -> Any:
        """The JSON at a path."""
        return self._get(str(httpx2.URL(path, params=query) if query else path))[0]

    def each(self, path: str, **query: str | int) -> Iterator[dict[str, Any]]:
        """Every item of a list, its pages one after the other; EPCIS and DCSA events are lists too. Raises ValueError
        for what is no list."""
        at: str | None = str(httpx2.URL(path, params=query) if query else path)
        while at:
            found, link = self._get(at)
            yield from _items_of(path, found)
            at = urljoin(at, link) if link else None

    def table(self, path: str, **query: str | int) -> str:
        """A list as CSV: one page of it."""
        answer = self._http.get(path, params=query, headers={"accept": "text/csv"})
        _check(answer)
        return answer.text

    def write(self, path: str, document: Any, key: str = "") -> Any:
        """Write once, however often it must be said: with a key of its own, and again where the answer was lost or
        the API says to wait. After a restart of the service a repetition is a write of its own, which says
        `changed: false` where it is known."""
        return self._write(path, json.dumps(document).encode(), _JSON, key)

    def _write(self, path: str, body: bytes, kind: str, key: str = "") -> Any:
        headers = {"idempotency-key": f'"{key or uuid.uuid4()}"', "content-type": kind}
        for attempt in range(_AGAIN_MAX):
            is_last = attempt == _AGAIN_MAX - 1
            try:
                answer = self._http.post(path, content=body, headers={**headers, **(self._sign or _unsigned)(body)})
                _check(answer)
            except httpx2.TransportError:
                if is_last:
                    raise
                time.sleep(2**attempt / 10)
            except ApiError as error:
                if is_last or error.status not in _AGAIN or error.retry_after_s is None:
                    raise
                time.sleep(error.retry_after_s)
            else:
                return answer.json()
        raise AssertionError("the last attempt returns or raises")

    def changes(self, after_entry: int | None = None, last_id: str = "") -> Iterator[Change]:
        """Events as they are committed, until the stream ends: when the service stops, or the key opens no more. Go on
        with the `id` of the last one."""
        headers = {"last-event-id": last_id} if last_id else {}
        query = {} if after_entry is None else {"after_entry": after_entry}
        # A heartbeat comes every 15 s: a stream that says nothing for longer is broken.
        with self._http.stream("GET", "/live", headers=headers, params=query, timeout=45) as answer:
            if answer.status_code != 200:
                answer.read()
            _check(answer)
            fields: dict[str, str] = {}
            for line in _lines(answer.iter_text()):
                name, _, value = line.partition(":")
                if line:
                    fields[name] = value.removeprefix(" ")
                    continue
                if "data" in fields:
                    yield Change(fields["id"], fields["event"], json.loads(fields["data"]))
                fields = {}

    def assets(self, **query: str | int) -> Iterator[Asset]:
        """Assets by id; filters as in docs/API.md, here and in every list."""
        return self._all(Asset, "/assets", **query)

    def asset(self, asset: str, **query: str | int) -> Asset:
        """An asset."""
        return self._one(Asset, "/assets/{}", asset, **query)

    def series(self, asset: str, channel: str, **query: str | int) -> Series:
        """The newest points of a channel."""
        return self._one(Series, "/assets/{}/series/{}", asset, channel, **query)

    def stretches(self, asset: str, channel: str, from_ms: int, to_ms: int, **query: str | int) -> SeriesStretches:
        """A channel in steps of time."""
        return self._one(
            SeriesStretches, "/assets/{}/series/{}/stretches", asset, channel, from_ms=from_ms, to_ms=to_ms, **query
        )

    def last(self, asset: str, **query: str | int) -> Last:
        """The newest point of each channel of an asset."""
        return self._one(Last, "/assets/{}/last", asset, **query)

    def clusters(self, **query: str | int) -> Clusters:
        """Assets as marks of a map."""
        return self._one(Clusters, "/clusters", **query)

    def fences(self, **query: str | int) -> Iterator[Fence]:
        """Fences."""
        return self._all(Fence, "/fences", **query)

    def fence(self, fence: str, **query: str | int) -> FenceWithAssets:
        """A fence with the assets in it."""
        return self._one(FenceWithAssets, "/fences/{}", fence, **query)

    def alerts(self, **query: str | int) -> Iterator[Alert]:
        """Alerts, the latest first."""
        return self._all(Alert, "/alerts", **query)

    def events(self, **query: str | int) -> Iterator[Event]:
        """Events in the order of the journal."""
        return self._all(Event, "/events", **query)

    def event(self, event: str, **query: str | int) -> EventWithSource:
        """An event, and what said it."""
        return self._one(EventWithSource, "/events/{}", event, **query)

    def facilities(self, **query: str | int) -> Iterator[Facility]:
        """Facilities as they stand."""
        return self._all(Facility, "/facilities", **query)

    def facility(self, facility: str, **query: str | int) -> FacilityWithLines:
        """A facility with its lines."""
        return self._one(FacilityWithLines, "/facilities/{}", facility, **query)

    def base(self, facility: str, **query: str | int) -> BaseAt:
        """The base of a moment by what was known at another."""
        return self._one(BaseAt, "/facilities/{}/base", facility, **query)

    def ltv(self, facility: str, **query: str | int) -> Ltv:
        """The loan to value over time."""
        return self._one(Ltv, "/facilities/{}/ltv", facility, **query)

    def lines(self, facility: str, **query: str | int) -> Iterator[Line]:
        """What became of each lot of a facility."""
        return self._all(Line, "/facilities/{}/lines", facility, **query)

    def evidence(self, facility: str, **query: str | int) -> Iterator[Evidence]:
        """What stands for each lot of a facility."""
        return self._all(Evidence, "/facilities/{}/evidence", facility, **query)

    def lots(self, **query: str | int) -> Iterator[Lot]:
        """Lots by id."""
        return self._all(Lot, "/lots", **query)

    def lot(self, lot: str, **query: str | int) -> LotWithLine:
        """A lot with its way through the waterfall."""
        return self._one(LotWithLine, "/lots/{}", lot, **query)

    def trail(self, lot: str, **query: str | int) -> Trail:
        """What stands behind each amount of a lot."""
        return self._one(Trail, "/lots/{}/trail", lot, **query)

    def exposures(self, by: str, currency: str, **query: str | int) -> Iterator[Exposure]:
        """What is lent by one word of goods, in a currency."""
        return self._all(Exposure, "/exposures/{}", by, currency=currency, **query)

    def market(self, **query: str | int) -> Market:
        """All quotes."""
        return self._one(Market, "/market", **query)

    def prices(self, series: str, **query: str | int) -> Prices:
        """The prices of a series."""
        return self._one(Prices, "/market/prices/{}", series, **query)

    def rates(self, currency: str, **query: str | int) -> Rates:
        """The rates of a currency."""
        return self._one(Rates, "/market/rates/{}", currency, **query)

    def milestones(self, **query: str | int) -> Iterator[MilestoneListed]:
        """Milestones."""
        return self._all(MilestoneListed, "/milestones", **query)

    def milestone(self, milestone: str, **query: str | int) -> MilestoneExplained:
        """A milestone, and why it stands as it does."""
        return self._one(MilestoneExplained, "/milestones/{}", milestone, **query)

    def receipts(self, **query: str | int) -> Iterator[Receipt]:
        """Receipts by id."""
        return self._all(Receipt, "/receipts", **query)

    def receipt(self, receipt: str, **query: str | int) -> Receipt:
        """A receipt."""
        return self._one(Receipt, "/receipts/{}", receipt, **query)

    def acts(self, receipt: str, **query: str | int) -> Iterator[Act]:
        """What was done by a receipt."""
        return self._all(Act, "/receipts/{}/acts", receipt, **query)

    def register(self, **query: str | int) -> Register:
        """The register that acts are for."""
        return self._one(Register, "/receipts/register", **query)

    def issuer(self, **query: str | int) -> Issuer:
        """The key that verifies credentials."""
        return self._one(Issuer, "/receipts/issuer", **query)

    def cases(self, warehouse: str, **query: str | int) -> Iterator[Case]:
        """The cases of a warehouse."""
        return self._all(Case, "/warehouses/{}/cases", warehouse, **query)

    def case(self, case: str, **query: str | int) -> CaseInFull:
        """A case in full."""
        return self._one(CaseInFull, "/warehouses/cases/{}", case, **query)

    def count_tasks(self, warehouse: str, **query: str | int) -> Iterator[CountTask]:
        """Counts that are asked for."""
        return self._all(CountTask, "/warehouses/{}/count-tasks", warehouse, **query)

    def stock(self, **query: str | int) -> Iterator[Stock]:
        """What there is, by key."""
        return self._all(Stock, "/stock", **query)

    def periods(self, **query: str | int) -> Iterator[StockPeriods]:
        """How it came to that."""
        return self._all(StockPeriods, "/stock/periods", **query)

    def sell_through(self, **query: str | int) -> Iterator[SellThrough]:
        """How fast goods sell."""
        return self._all(SellThrough, "/stock/sell-through", **query)

    def unmatched(self, **query: str | int) -> Iterator[Unmatched]:
        """Rows that take back what is not here."""
        return self._all(Unmatched, "/stock/unmatched", **query)

    def notice(self, notice: str, **query: str | int) -> Notice:
        """A notice; its name is `<sender>/<id>`."""
        return self._one(Notice, "/notices/{}", notice, **query)

    def devices(self, **query: str | int) -> Iterator[Device]:
        """Devices, and what is here of them."""
        return self._all(Device, "/devices", **query)

    def device(self, device: str, **query: str | int) -> DeviceCare:
        """A device with its settings and commands."""
        return self._one(DeviceCare, "/devices/{}", device, **query)

    def command_result(self, device: str, command: int, **query: str | int) -> CommandResult:
        """What a device sent for a command."""
        return self._one(CommandResult, "/devices/{}/commands/{}/result", device, command, **query)

    def identities(self, **query: str | int) -> Iterator[Identity]:
        """Identities of devices."""
        return self._all(Identity, "/devices/identities", **query)

    def endpoints(self, **query: str | int) -> Iterator[Endpoint]:
        """Endpoints of deliveries."""
        return self._all(Endpoint, "/outbox/endpoints", **query)

    def dead_letters(self, **query: str | int) -> Iterator[DeadLetter]:
        """Messages that were refused for good."""
        return self._all(DeadLetter, "/outbox/dead", **query)

    def deliveries(self, message_id: str, **query: str | int) -> Iterator[Delivery]:
        """Evidence that a message was taken."""
        return self._all(Delivery, "/outbox/{}/deliveries", message_id, **query)

    def audit(self, **query: str | int) -> Iterator[Access]:
        """What was asked."""
        return self._all(Access, "/audit", **query)

    def quarantine(self, **query: str | int) -> Iterator[Quarantined]:
        """What could not be taken."""
        return self._all(Quarantined, "/quarantine", **query)

    def registry(self, **query: str | int) -> Registry:
        """How the registry stands to what is pledged here."""
        return self._one(Registry, "/registry", **query)

    def status(self, **query: str | int) -> Status:
        """How the service stands."""
        return self._one(Status, "/status", **query)

    def health(self, **query: str | int) -> Health:
        """That the service is there."""
        return self._one(Health, "/healthz", **query)

    def readiness(self, **query: str | int) -> Health:
        """That the service is ready."""
        return self._one(Health, "/readyz", **query)

    def viewer(self, **query: str | int) -> Viewer:
        """As whom who asks is known."""
        return self._one(Viewer, "/viewer", **query)

    def book(self) -> Document:
        """The book in force, as the amendment that makes it out of nothing."""
        return self._one(Document, "/book")

    def move(self, facility: str, document: Document) -> Written:
        """Take drawdowns and repayments into the book."""
        return self._said(Written, "/facilities/{}/movements", facility, **document)

    def amend(self, document: Document) -> Written:
        """Amend the book."""
        return self._said(Written, "/book/amendments", **document)

    def quote(self, document: Document) -> Written:
        """Take quotes."""
        return self._said(Written, "/market/quotes", **document)

    def stress(self, document: Document) -> Stress:
        """What shocks would do; nothing changes."""
        return self._said(Stress, "/stress", **document)

    def acknowledge(self, alert: str, by: str) -> Said:
        """Take an open alert on."""
        return self._said(Said, "/alerts/{}/acknowledgement", alert, by=by)

    def comment(self, alert: str, by: str, text: str) -> Said:
        """Say something of an alert."""
        return self._said(Said, "/alerts/{}/comments", alert, by=by, text=text)

    def silence(self, alert: str, by: str, why: str, until: str | None = None) -> Said:
        """Put an alert aside until a moment; without one it is put aside no more."""
        return self._said(Said, "/alerts/{}/silence", alert, by=by, why=why, until=until)

    def waive(self, milestone: str, by: str, why: str) -> Said:
        """Let the money move whatever the milestone asks for."""
        return self._said(Said, "/milestones/{}/waiver", milestone, by=by, why=why)

    def say_booked(self, milestone: str, release: Literal["booked", "none"], by: str, why: str) -> Said:
        """Say whether a milestone's release has been booked."""
        return self._said(Said, "/milestones/{}/booking", milestone, release=release, by=by, why=why)

    def notify(self, document: Document) -> Noticed:
        """Hand in notices in the plain form."""
        return self._said(Noticed, "/notices", **document)

    def notify_dcsa(self, document: Document | list[Document]) -> Noticed:
        """Hand in DCSA events, one or a list."""
        return self._handed(Noticed, "/notices/dcsa", json.dumps(document))

    def capture(self, document: Document) -> Captured:
        """Hand in an EPCIS document."""
        return self._said(Captured, "/epcis/capture", **document)

    def capture_event(self, document: Document) -> CapturedEvent:
        """Hand in an EPCIS event."""
        return self._said(CapturedEvent, "/epcis/events", **document)

    def report_stock(self, source: str, text: str, form: Literal["json", "csv", "x12"] = "json") -> Reported:
        """Hand in a document of a stock system."""
        path = str(httpx2.URL("/stock/reports", params={"source": source, "form": form}))
        return self._handed(Reported, path, text, _FORMS.get(form, _JSON))

    def act(self, jws: str) -> ActTaken:
        """Hand in a signed act."""
        return self._handed(ActTaken, "/receipts/acts", jws, _JOSE)

    def count(self, jws: str) -> CountTaken:
        """Hand in a signed count."""
        return self._handed(CountTaken, "/warehouses/counts", jws, _JOSE)

    def set_device(self, device: str, toml: str, **more: str | int) -> SettingsAsked:
        """Say what a device is to be set to."""
        return self._said(SettingsAsked, "/devices/{}/settings", device, toml=toml, **more)

    def command_device(self, device: str, what: str, **more: str | int) -> CommandAsked:
        """Have a device do something once."""
        return self._said(CommandAsked, "/devices/{}/commands", device, what=what, **more)

    def invite(self, device: str, **more: str | int) -> Invited:
        """Invite a device to claim an identity."""
        return self._said(Invited, "/devices/invitations", device=device, **more)

    def revoke(self, device: str, why: str, **more: str) -> Revoked:
        """Take a device's identity away."""
        return self._said(Revoked, "/devices/{}/revocation", device, why=why, **more)

    def claim(self, document: Document) -> Claimed:
        """Claim an identity."""
        return self._said(Claimed, "/devices/claims", **document)

    def renew(self, document: Document) -> Renewed:
        """Renew a certificate."""
        return self._said(Renewed, "/devices/renewals", **document)

    def confirm(self, document: Document) -> Confirmed:
        """Say that a certificate is in force with its device."""
        return self._said(Confirmed, "/devices/confirmations", **document)

    def replay(self, endpoint: str, point: str) -> Replayed:
        """Send an endpoint everything once more."""
        return self._said(Replayed, "/outbox/endpoints/{}/replay", endpoint, point=point)

    def resume(self, endpoint: str) -> Resumed:
        """Lift the stop of an endpoint."""
        return self._said(Resumed, "/outbox/endpoints/{}/resume", endpoint)

    def send_again(self, message_id: str, **query: str) -> LetterMoved:
        """Put a dead letter back among the messages to be sent; of `endpoint`, where it is not the core's."""
        path = str(httpx2.URL(_named("/outbox/dead/{}/send", (message_id,)), params=query))
        return self._handed(LetterMoved, path, "{}")

    def pass_over(self, message_id: str, by: str = "", why: str = "", **query: str) -> LetterMoved:
        """Give a dead letter up; of `endpoint`, where it is not the core's."""
        path = str(httpx2.URL(_named("/outbox/dead/{}/pass-over", (message_id,)), params=query))
        return self._handed(LetterMoved, path, json.dumps({"by": by, "why": why}))

    def _one(self, kind: type[_Answer], path: str, *names: str | int, **query: str | int) -> _Answer:  # noqa: ARG002 - for the type checker
        found: _Answer = self.get(_named(path, names), **query)
        return found

    def _all(self, kind: type[_Answer], path: str, *names: str | int, **query: str | int) -> Iterator[_Answer]:  # noqa: ARG002
        found: Iterator[Any] = self.each(_named(path, names), **query)
        return found

    def _said(self, kind: type[_Answer], path: str, *names: str, **document: Any) -> _Answer:  # noqa: ARG002
        found: _Answer = self.write(_named(path, names), document)
        return found

    def _handed(self, kind: type[_Answer], path: str, text: str, form: str = _JSON) -> _Answer:  # noqa: ARG002
        found: _Answer = self._write(path, text.encode(), form)
        return found

    def _get(self, url: str) -> tuple[Any, str]:
        """What is at an address, and the address of the next page."""
        # As bytes: what was given out is whose it was given to, to change or to keep.
        tag, known = self._known.pop(url, ("", b""))
        answer = self._http.get(url, headers={"if-none-match": tag} if tag else {})
        if answer.status_code != 304:
            _check(answer)
            tag, known = answer.headers.get("etag", ""), answer.content
        if tag:
            self._known[url] = tag, known
            while len(self._known) > KNOWN_MAX:
                self._known.popitem(last=False)
        # Of this answer, also where what it says is known: a page may have become the last, or be it no more. DCSA has
        # a header of its own for it.
        following = answer.links.get("next", {}).get("url", "") or answer.headers.get("next-page", "")
        return json.loads(known), following


def _unsigned(_: bytes) -> dict[str, str]:
    return {}


def _named(path: str, names: Iterable[str | int]) -> str:
    """A path with names in its places."""
    return path.format(*(quote(str(one), safe="") for one in names))


def _items_of(path: str, found: Any) -> list[Any]:
    """The items of a page. Raises ValueError where it is none."""
    if isinstance(found, list):
        return found
    if isinstance(found, dict) and found.get("type") == "EPCISQueryDocument":
        found = found["epcisBody"]["queryResults"]["resultsBody"]
        return list(found["eventList"])
    if isinstance(found, dict):
        for name in _ITEMS:
            if isinstance(found.get(name), list):
                return list(found[name])
    raise ValueError(f"{path} is no list")


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """Lines that end with a line feed, and with nothing else: words may have what Unicode ends lines with in them."""
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from whole


def _check(answer: httpx2.Response) -> None:
    """Raises ApiError where it is no success."""
    if answer.is_success:
        return
    try:
        said = answer.json()
    except ValueError:
        said = {}
    said = said if isinstance(said, dict) else {}
    wait = answer.headers.get("retry-after", "")
    detail, errors = str(said.get("detail", answer.reason_phrase)), tuple(map(str, said.get("errors", ())))
    raise ApiError(answer.status_code, detail, errors, float(wait) if wait.isdigit() else None)
