"""Where goods are, by GeoJSON, and how they are kept."""

from typing import Any, Literal, NotRequired, TypedDict

from pledgewatch_cloud.answers.document import Document


class Point(TypedDict):
    """A place by GeoJSON: longitude, latitude."""

    type: Literal["Point"]
    coordinates: list[float]


class Polygon(TypedDict):
    """An area by GeoJSON."""

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: list[Any]


class Source(TypedDict):
    """A device, or with a channel its sensor, how it stands, and how long it may be quiet; 0: that is not judged."""

    device: str
    channel: str | None
    state: str
    at_ms: int | None
    overdue_after_s: int
    silent_after_s: int


class LotCondition(TypedDict):
    """How a lot stands to one limit."""

    limit: str
    state: Literal["kept", "breached", "unknown"]


class Condition(LotCondition):
    """How a lot in an asset stands to one limit."""

    lot: str
    breaches: int


class MeanKineticTemperature(TypedDict):
    """A lot's, between its bounds, in thousandths of a degree."""

    lot: str
    lower_mc: int
    upper_mc: int
    state: str | int


class AssetProperties(TypedDict):
    """What is known of an asset."""

    measured_at_ms: int | None
    newest_ms: int | None
    fences: list[str]
    conditions: list[Condition]
    mean_kinetic_temperatures: list[MeanKineticTemperature]
    sources: list[Source]
    lots: list[str]


class Asset(TypedDict):
    """An asset as a GeoJSON feature."""

    type: Literal["Feature"]
    id: str
    geometry: Point | None
    properties: AssetProperties


class Assets(TypedDict):
    """A page of assets."""

    type: Literal["FeatureCollection"]
    features: list[Asset]
    count: int
    next_after: str


class Series(TypedDict):
    """Points of a channel, each its moment, value and quality; `seen` are stretches of time. `device_of` has for each
    point which of the `devices` said so, by its place among them from 0."""

    asset: str
    channel: str
    entry: int
    seen: list[list[int]]
    points: list[list[int | str]]
    devices: list[str]
    device_of: list[int]


class Stretch(TypedDict):
    """The good values of a step of time."""

    from_ms: int
    readings: int
    low: int
    high: int
    mean: float


class SeriesStretches(TypedDict):
    """A channel in steps."""

    asset: str
    channel: str
    entry: int
    stretches: list[Stretch]


class LastPoint(TypedDict):
    """The newest point of a channel."""

    measured_at_ms: int
    value: int
    quality: str


class Last(TypedDict):
    """The newest point of each channel of an asset."""

    asset: str
    entry: int
    last: dict[str, LastPoint]


class ClusterProperties(TypedDict):
    """How many assets there are at a mark, and the worst of them."""

    count: int
    state: str
    severity: str | None


class Cluster(TypedDict):
    """A mark of a map: one asset with its id, or several with their bounds."""

    type: Literal["Feature"]
    id: NotRequired[str]
    bbox: NotRequired[list[float]]
    geometry: Point
    properties: ClusterProperties


class Clusters(TypedDict):
    """The marks of a map."""

    type: Literal["FeatureCollection"]
    zoom: int
    features: list[Cluster]


class Fence(TypedDict):
    """A fence as a GeoJSON feature."""

    type: Literal["Feature"]
    id: str
    properties: Document
    geometry: Polygon


class FenceWithAssets(Fence):
    """A fence, with the assets in it."""

    assets: list[str]


class Fences(TypedDict):
    """A page of fences."""

    type: Literal["FeatureCollection"]
    features: list[Fence]
    next_after: str
