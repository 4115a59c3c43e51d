"""How assets stand on the map: what is remembered of them from one state to the next is what would be found anew."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from builders import IN_LOS_ANGELES, ManualClock, position, temperature
from receipting import BANK
from seeing import OPERATOR, OTHER_LINE
from twin_world import LINE, WIDE, TwinWorld
from warehouses import BOX, TRACKER

from pledgewatch_cloud.access.view import Views
from pledgewatch_cloud.api import clusters
from pledgewatch_cloud.api.assets import STANDINGS, standing_of
from pledgewatch_cloud.api.clusters import Fleet, Standings
from pledgewatch_cloud.decide import calm, drafts
from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import Role
from pledgewatch_cloud.decide.asset import AssetState
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.ingest.decode import Decoder
from pledgewatch_cloud.ingest.subscriber import Message
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.spine.spine import Newest, Spine
from pledgewatch_cloud.spine.writer import Writer
from pledgewatch_sim.fleet import Fleet as Sender
from pledgewatch_sim.fleet import book
from pledgewatch_wire.reading import Cell

HOUR_MS = 3_600_000
ASSETS, ROUNDS, STEP_MS, START_MS = 30, 14, 300_000, 1_790_000_000_000
VIEWERS = (Viewer("k", "", Role.KEEPER), Viewer("b", "bank", Role.LENDER))


def rows(fleet: Fleet) -> dict[str, tuple[float, ...]]:
    """A fleet by asset: its place, how it stands and how bad its alerts are."""
    columns = (fleet.longitude, fleet.latitude, fleet.standing, fleet.severity)
    return dict(zip(fleet.ids, zip(*(one.tolist() for one in columns), strict=True), strict=True))


def plain(state: State) -> dict[str, tuple[int, int, int]]:
    """The same places and standings by each asset's state as it is seen, with nothing remembered."""
    return {
        asset: (
            known.presence.longitude_e7,
            known.presence.latitude_e7,
            STANDINGS.index(standing_of(state, asset, known)),
        )
        for asset, known in state.assets.items()
        if known.presence is not None
    }


def assert_as_seen(views: Views, viewer: Viewer) -> Fleet:
    """What is remembered is what is found anew."""
    view = views.of(viewer)
    found = view.remembered(Standings).fleet_of(view.state)
    assert rows(found) == rows(Standings().fleet_of(views.of(viewer).state))
    told = {
        asset: (round(longitude * 1e7), round(latitude * 1e7), standing)
        for asset, (longitude, latitude, standing, _) in rows(found).items()
    }
    assert told == plain(views.of(viewer).state)
    return found


def voyage(asset: str, number: int) -> dict[str, Any]:
    """Some hours without a signal, of which one is under way when the last reading comes and others are to come."""
    begun_ms = START_MS + ROUNDS * STEP_MS
    legs = [
        {
            "id": f"{asset}-{hour}",
            "kind": "sea",
            "signal": "dark",
            "from": iso(begun_ms + hour * HOUR_MS),
            "until": iso(begun_ms + (hour + 1) * HOUR_MS),
        }
        for hour in (-1, 1, 2, 7)[number % 3 :]
    ]
    return {"id": f"voyage-{asset}", "asset": asset, "legs": legs}


def assert_time_alone_changes_it(state: State, writer: SimpleNamespace, views: Views, asked: list[str]) -> None:
    """Nothing is heard, and moment for moment what is remembered is what is found anew; where time has changed nothing,
    nobody is looked at again."""
    changed, before = 0, None
    for half_hour in range(1, 60):
        later = replace(state, recorded_at_ms=state.recorded_at_ms + half_hour * 1_800_000)
        writer.newest = writer.newest._replace(state=later)
        found = [rows(assert_as_seen(views, viewer)) for viewer in VIEWERS]
        changed += before is not None and found != before
        before = found
        asked.clear()
        view = views.of(VIEWERS[0])
        view.remembered(Standings).fleet_of(view.state)
        assert not asked
    assert changed, "time changes nothing here: it would show little"


def breaches(state: State) -> dict[str, set[str]]:
    """By asset, the breaches of limits that stand or have stood."""
    return {
        asset: {name for name, one in facts.causes.items() if one.kind == "condition_breached"}
        for asset, facts in state.facts.items()
    }


def assert_breaches_are_folded(before: State, after: State) -> int:
    """An asset whose breaches are others has been folded; how many there are. A map looks at nothing else."""
    were, are = breaches(before), breaches(after)
    changed = [asset for asset in are if are[asset] != were.get(asset, set())]
    assert all(before.assets.folded.get(asset) is not after.assets.folded[asset] for asset in changed)
    return len(changed)


def test_what_is_remembered_is_what_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = book(range(ASSETS), 8)
    document["voyages"] = [voyage(one["asset"], number) for number, one in enumerate(document["installations"][::2])]
    for lot in document["lots"][::5]:
        lot["limits"] = [{"channel": "temperature_mc", "low": 0, "high": 3_000}]
    clock, store = ManualClock(START_MS), SqliteStore(tmp_path)
    spine, series, decoder = Spine(store, clock), EmbeddedSeries(tmp_path, store.journal), Decoder()
    spine.commit(drafts.amend, document)
    writer = SimpleNamespace(newest=Newest(spine.state, 0, 0))
    views = Views(store, cast("Writer", writer), series, clock)
    asked: list[str] = []

    def counted(state: State, asset: str, known: AssetState) -> str:
        asked.append(asset)
        return standing_of(state, asset, known)

    monkeypatch.setattr(clusters, "standing_of", counted)
    sent = Sender(range(ASSETS), rounds=ROUNDS, until_ms=START_MS + ROUNDS * STEP_MS, step_ms=STEP_MS).live()
    standings, looked_at, broken = set(), [], 0
    for turn in range(ROUNDS):
        clock.at_ms = START_MS + (turn + 1) * STEP_MS
        some = [next(sent) for _ in range(ASSETS)]
        heard = some if turn % 4 else some[::2]
        messages = [Message(one.topic, one.payload, retained=False, token=0, arrived_s=0.0) for one in heard]
        before = spine.state
        spine.take(decoder.decode(messages, clock.at_ms, spine.state.book.installations).arrivals)
        broken += assert_breaches_are_folded(before, spine.state)
        writer.newest = Newest(spine.state, 0, 0)
        asked.clear()
        view = views.of(VIEWERS[0])
        view.remembered(Standings).fleet_of(view.state)
        looked_at.append(len(asked))
        for viewer in VIEWERS:
            standings |= set(assert_as_seen(views, viewer).standing.tolist())
    assert looked_at[0] >= ASSETS // 2
    assert looked_at[-1] < ASSETS // 2, f"nothing was remembered: {looked_at}"
    assert_time_alone_changes_it(spine.state, writer, views, asked)
    clock.at_ms += 30 * 24 * 3_600_000
    spine.tick(clock.at_ms)
    writer.newest = Newest(spine.state, 0, 0)
    for viewer in VIEWERS:
        standings |= set(assert_as_seen(views, viewer).standing.tolist())
    assert len(standings) > 1, "all stand alike: it would show little"
    assert broken, "nothing was breached: it would show little"
    series.close()
    store.close()


def test_what_comes_to_be_seen_of_an_asset_by_a_calm_reading_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A breach of a total lasts. What the lender has seen since the goods were lent on has no temperature in it yet,
    and so not that; the next one is calm, and with it the condition is seen."""
    monkeypatch.setattr(calm, "READINGS_MIN", 1)
    world = TwinWorld(tmp_path)
    lender = Viewer("lender-one", BANK, Role.LENDER)
    limits = [{**WIDE, "cumulative_s": 30}]
    writer = SimpleNamespace(newest=world.keeping.spine.newest)
    views = Views(world.store, cast("Writer", writer), world.series, world.keeping.clock)

    def heard(*cells: Cell) -> list[str]:
        world.tick()
        reading = world.keeping.devices[TRACKER].measure(world.keeping.clock.at_ms - 30_000, *cells)
        world.keeping.take(world.keeping.devices[TRACKER].arrival([reading], operator=OPERATOR))
        writer.newest = world.keeping.spine.newest
        return [STANDINGS[one] for one in assert_as_seen(views, lender).standing.tolist()]

    world.tick()
    world.lend(OTHER_LINE, limits=limits)
    for value_mc in (5_000, 40_000, 5_000):
        assert heard(*sorted((*position(IN_LOS_ANGELES), temperature(value_mc)))) == []
    world.tick()
    world.lend(LINE, limits=limits)
    assert heard(*position(IN_LOS_ANGELES)) == ["live"]
    folded = world.keeping.spine.state.assets.folded[BOX]
    assert heard(temperature(5_100)) == ["bad"]
    assert world.keeping.spine.state.assets.folded[BOX] is folded, "the reading was not calm: it would show little"
    world.close()
