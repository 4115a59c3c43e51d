"""Real tracks through the whole fold: storms over the antimeridian, trucks, a bus, a unit at rest."""

import csv
import json
import math
from datetime import UTC, datetime
from itertools import groupby, pairwise
from pathlib import Path
from random import Random
from typing import Any

from builders import ManualClock
from folding import box, feature, fix, fold, spine_for, told_of
from needed import DATA, needs

from pledgewatch_cloud.decide.events import Because, EventType
from pledgewatch_wire.reading import Cell

Track = list[tuple[int, tuple[Cell, ...]]]
SIXTY_YEARS_MS = 60 * 365 * 86_400_000  # some storms are older than the wire's earliest moment, 1970


def moment(text: str) -> int:
    """Unix milliseconds of ISO 8601; UTC where it does not say."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00").replace("+0000", "+00:00"))
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1_000)


@needs("track-antimeridian")
def test_storms_cross_the_antimeridian_as_often_as_they_did() -> None:
    """Two fences meet at 180°: to enter one is to leave the other, and that is a crossing."""
    folder = DATA / "track-antimeridian"
    with (folder / "answers.csv").open() as file:
        answers = {row["id"]: int(row["crossings"]) for row in csv.DictReader(file)}
    tracks: dict[str, Track] = {}
    with (folder / "hurdat2_nepac_crossing_180.csv").open() as file:
        for row in csv.DictReader(file):
            place = fix(float(row["lat"]), float(row["lon"]))
            tracks.setdefault(row["id"], []).append((moment(row["time_utc"]) + SIXTY_YEARS_MS, place))
    sides = [box("west", 90, -60, 180, 80), box("east", -180, -60, -90, 80)]
    uncut = [feature("across", "Polygon", [[[170, -60], [-170, -60], [-170, 80], [170, 80], [170, -60]]])]
    halves = [[[170, -60], [180, -60], [180, 80], [170, 80], [170, -60]]]
    halves += [[[-180, -60], [-170, -60], [-170, 80], [-180, 80], [-180, -60]]]
    cut = [feature("across", "MultiPolygon", [[one] for one in halves])]
    assert len(tracks) == len(answers) == 21
    over_it = 0
    for name, track in tracks.items():
        events = fold(track, fences=sides)
        left = [one.fact("fence") for one in events if one.type is EventType.FENCE_LEFT]
        entered = [one.fact("fence") for one in events if one.type is EventType.FENCE_ENTERED]
        assert len(entered) == len(left) == answers[name], (name, events)
        found = fold(track, fences=uncut)
        assert found == fold(track, fences=cut), "cut at 180° or not, it is the same fence"
        over_it += len(found)
    assert over_it > 20


@needs("truck-gps")
def test_trucks_tell_the_same_story_whatever_came_late() -> None:
    """Fences around the first place of each trip and around every place that arrived late: the story as it arrived is
    the story in order of time."""
    late = again = 0
    for path in sorted((DATA / "truck-gps").glob("*.jsonl")):
        rows = [json.loads(line)["ev"] for line in path.read_text().splitlines()]
        rows = [row for row in rows if row.get("pos") and row.get("receivedTs")]
        track = {moment(row["pos"]["posTime"]): (row["pos"]["latlon"], moment(row["receivedTs"])) for row in rows}
        arrived = [received for _, (_, received) in sorted(track.items())]
        overtaken = [place for place, (one, after) in enumerate(pairwise(arrived)) if after < one]
        late += len(overtaken)
        fixes = [(at_ms, fix(place["lat"], place["lng"])) for at_ms, (place, _) in sorted(track.items())]
        _, (home, _) = min(track.items())
        circle = feature("home", "Point", [home["lng"], home["lat"]], radius_m=1_000, margin_m=200)
        fences = [circle]
        events = fold(fixes, fences=fences, asset={"kind": "truck"})
        crossings = [one.type for one in events if one.type in (EventType.FENCE_LEFT, EventType.FENCE_ENTERED)]
        pairs = [EventType.FENCE_LEFT, EventType.FENCE_ENTERED]
        assert crossings == (pairs * len(crossings))[: len(crossings)], "left and entered in turn, leaving first"
        assert crossings, path.name
        for place in overtaken:
            latitude, longitude = (cell.value / 1e7 for cell in fixes[place][1])
            fences.append(feature(f"late-{place}", "Point", [longitude, latitude], radius_m=30))
        events = fold(fixes, fences=fences, asset={"kind": "truck"})
        as_they_came = sorted(zip(fixes, arrived, strict=True), key=lambda one: one[1])
        spine, store, device = spine_for(fences=fences, asset={"kind": "truck"})
        readings = {at_ms: device.measure(at_ms, *sorted(cells)) for at_ms, cells in fixes}
        for received, some in groupby(as_they_came, key=lambda one: one[1]):
            spine._clock = ManualClock(received)
            for (at_ms, _), _ in some:
                spine.take([device.arrival([readings[at_ms]])])
        assert told_of(store) == events, path.name
        again += sum(one.because == Because.LATE_READING for one in store.events())
    assert late == 8, "the captures hold late arrivals"
    assert again > 0, "and some of them change what was said"


@needs("track-bus-liverpool")
def test_a_bus_visits_its_termini_once_a_trip() -> None:
    with (DATA / "track-bus-liverpool" / "route14_outbound.csv").open() as file:
        rows = list(csv.DictReader(file))
    trips: dict[str, Track] = {}
    for row in rows:
        place = fix(float(row["latitude"]), float(row["longitude"]))
        trips.setdefault(row["trip_id"], []).append((moment(row["timestamp"]), place))
    start = feature("Queen_Square", "Point", [-2.9833, 53.4078], radius_m=250, margin_m=100, leave_after_s=60)
    end = feature("Petherick_Road", "Point", [-2.8950, 53.4619], radius_m=250, margin_m=100)
    told = {
        trip: [(one.type.value, one.fact("fence")) for one in fold(track, fences=[start, end], asset={"kind": "truck"})]
        for trip, track in trips.items()
    }
    leaves, arrives = ("fence_left", "Queen_Square"), ("fence_entered", "Petherick_Road")
    assert len(trips) == 16
    assert all(len(story) == len(set(story)) for story in told.values()), "each terminus once a trip"
    # three were under way already, one is not far enough away for long enough before its record ends
    from_the_start = {trip for trip in trips if trip not in {"1089", "1091", "1093", "1117"}}
    to_the_end = {"1089", "1091", "1093", "1097", "1099", "1101", "1103", "1105", "1109", "1111"}
    assert {trip for trip, story in told.items() if leaves in story} == from_the_start
    assert {trip for trip, story in told.items() if arrives in story} == to_the_end
    assert {one for story in told.values() for one in story} == {leaves, arrives}


def test_a_noisy_unit_at_rest_on_an_edge_crosses_nothing_in_thirty_days() -> None:
    """One fix a minute with 15 m of scatter, on the very edge of an area, a circle and a corridor, from either side.

    The scatter of a real receiver wanders: each fix keeps some of the error of the one before.
    """
    metre = 1 / 111_320
    for keeps, days in ((0.0, 30), (0.9, 5), (0.99, 5)):
        track = []
        scatter = Random(20_260_101)
        north_m = east_m = 0.0
        for minute in range(days * 24 * 60):
            north_m, east_m = (
                keeps * error + (1 - keeps**2) ** 0.5 * scatter.gauss(0, 15) for error in (north_m, east_m)
            )
            track.append((1_767_225_600_000 + minute * 60_000, fix(north_m * metre, east_m * metre)))
        is_outside = [cells[1].value < 0 for _, cells in track]
        outside, inside = is_outside.index(True), is_outside.index(False)
        assert fold(track[outside:], fences=on_the_edge(margin_m=75, enter_margin_m=75)) == []
        by_both = [box("by-both", -10, 0, 10, 10, margin_m=90, dwell_s=1_800)]
        assert fold(track[inside:], fences=[on_the_edge(margin_m=75, enter_margin_m=75)[0], *by_both]) == []
        bare = fold(track[:2_000], fences=on_the_edge())
        assert {one.fact("fence") for one in bare if one.type is EventType.FENCE_LEFT} == {"area", "circle", "corridor"}


def on_the_edge(**rules: int) -> list[dict[str, Any]]:
    """Fences of each shape whose edge runs through the place 0, 0, eastwards."""
    metre = 1 / 111_195
    name = "-".join(["", *rules])
    return [
        box(f"area{name}", -10, 0, 10, 10, **rules),
        feature(f"circle{name}", "Point", [0, 1_000 * metre], radius_m=1_000, **rules),
        feature(f"corridor{name}", "LineString", [[-1, 500 * metre], [1, 500 * metre]], half_width_m=500, **rules),
    ]


@needs("nmea-misc")
def test_a_receiver_at_rest_says_nothing_of_moving(tmp_path: Path) -> None:
    """Twenty minutes of a real receiver that lies still, as the agent reads it, in a fence around its first place."""
    from pledgewatch_edge.fixes import FixAssembler, FixQuality  # noqa: PLC0415 - the agent's own parser

    (log,) = (DATA / "nmea-misc").rglob("gps.log")
    assembler = FixAssembler()
    fixes = [*assembler.feed(log.read_bytes()), *assembler.flush()]
    good = [one for one in fixes if one.quality is FixQuality.GOOD and one.time_ms is not None]
    assert math.ceil((good[-1].time_ms or 0) - (good[0].time_ms or 0)) > 15 * 60_000
    track = [
        (one.time_ms or 0, fix((one.latitude_e7 or 0) / 1e7, (one.longitude_e7 or 0) / 1e7, speed_mmps=one.speed_mmps))
        for one in good
    ]
    middle = track[len(track) // 2][1]
    place = [middle[1].value / 1e7, middle[0].value / 1e7]
    fences = [
        feature("around", "Point", place, radius_m=100, kind="terminal"),
        feature(
            "on-the-edge", "Point", [place[0], place[1] + 100 / 111_320], radius_m=100, margin_m=30, enter_margin_m=30
        ),
    ]
    assert fold(track, fences=fences, asset={"kind": "container"}) == []
