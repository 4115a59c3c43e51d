"""How the service runs: deliveries, who asked, what was set aside."""

from typing import NotRequired, TypedDict


class Endpoint(TypedDict):
    """An endpoint, and where it runs (`running`) what the service knows of it since it started."""

    name: str
    begin: str
    message_types: list[str]
    facilities: list[str]
    pending: int
    dead: int
    delivered: int
    oldest_pending_ms: int | None
    stopped_at_ms: int | None
    stopped_why: str
    quiet_until_ms: int | None
    errors: dict[str, str]
    running: bool
    circuit: NotRequired[str]
    lag_s: NotRequired[float]
    lag_alert_s: NotRequired[float]
    is_lagging: NotRequired[bool]
    attempts: NotRequired[int]
    failures: NotRequired[dict[str, int]]


class DeadLetter(TypedDict):
    """A message that an endpoint refused for good."""

    endpoint: str
    id: str
    type: str
    facility: str
    sequence: int
    attempts: int
    error: str


class Delivery(TypedDict):
    """Evidence that a message was taken."""

    endpoint: str
    message: str
    at_ms: int
    attempt: int
    status: int
    answer: str
    keys: list[str]


class Access(TypedDict):
    """What a user has asked."""

    entry: int
    first_at: str
    user: str
    party: str
    role: str
    method: str
    path: str
    status: int
    after_entry: int
    count: int


class Audit(TypedDict):
    """A page of what was asked."""

    rows: list[Access]
    next_after_entry: int


class Quarantined(TypedDict):
    """Bytes that could not be taken, in Base64."""

    topic: str
    received_at_ms: int
    reason: str
    detail: str
    raw: str
    times: int
    number: int


class Quarantine(TypedDict):
    """A page of quarantine, and how many there are by reason."""

    counts: dict[str, int]
    items: list[Quarantined]
    next_after: str


class Unclaimed(TypedDict):
    """A receipt that is pledged here and not claimed at the registry."""

    receipt: str
    clash: NotRequired[str]
    refused: NotRequired[str]


class Clash(TypedDict):
    """A clash at the registry."""

    clash: str
    receipt: str
    refused: bool
    newest_at: str | None


class Registry(TypedDict):
    """How the registry stands to the receipts that are pledged here; nothing more where none is `configured`."""

    configured: bool
    looked_at: NotRequired[str | None]
    fault: NotRequired[str]
    claimed: NotRequired[int]
    due: NotRequired[int]
    strange: NotRequired[int]
    unclaimed: NotRequired[list[Unclaimed]]
    clashes: NotRequired[list[Clash]]


class Replayed(TypedDict):
    """An endpoint that is sent all once more, and of how many facilities."""

    endpoint: str
    facilities: int


class Resumed(TypedDict):
    """An endpoint that is stopped no more."""

    endpoint: str
    stopped_at_ms: None


class LetterMoved(TypedDict):
    """What a dead letter is now."""

    id: str
    endpoint: str
    state: str


class Health(TypedDict):
    """That the service is there, or ready."""

    status: str


class Status(TypedDict):
    """How the service stands."""

    journal: str
    entry: int
    recorded_at_ms: int
    horizon_ms: int
    readings: int
    broker_connected: bool
    series_entry: int
    counts: dict[str, int]
    since_start: dict[str, int | dict[str, int]]


class Viewer(TypedDict):
    """As whom who asks is known."""

    user: str
    party: str
    role: str
    sees_money: bool
    may_write: bool
