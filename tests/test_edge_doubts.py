"""Whose certificate is not believed: told for as long as it is so, and no longer."""

from pathlib import Path

import pytest
from edge_support import new_spool, station

from pledgewatch_edge import cloud_api, tls_identity
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.cloud_api import CloudError
from pledgewatch_edge.command import identity_of, status_of
from pledgewatch_edge.config import DeviceSettings
from pledgewatch_edge.connection import DoubtError
from pledgewatch_edge.renewal import LOOK_AGAIN_S, Renewal
from pledgewatch_edge.station import Station
from pledgewatch_edge.tls import Shown
from pledgewatch_edge.tls_identity import BROKER, CLOUD, Standing, Term, TlsIdentity, doubts
from pledgewatch_edge.uplink import Uplink

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000
NAME = DoubtError("the broker's certificate cannot be believed: it is for another name", is_of_time=False)
ENDED = "the cloud's certificate cannot be believed: it has ended"


class Claimed(TlsIdentity):
    """A device whose certificate is not due for long."""

    def term(self) -> Term:
        return Term(NOW_MS - 10 * DAY_MS, NOW_MS + 80 * DAY_MS, NOW_MS + 50 * DAY_MS)

    def is_confirmed(self) -> bool:
        return True


class Cloud:
    """A cloud whose certificate has ended by a clock that is ahead; and a device that asks it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.now_ms, self.up_ms, self.is_kept = folder, NOW_MS, 0, False
        self.is_believed, self.is_there, self.asked = False, True, 0
        self.standing = Standing(folder, lambda: self.now_ms)
        device = DeviceSettings(operator="o", name="d", state_folder=folder, cloud_url="https://cloud.example")
        clock = AgentClock(
            system_ms=lambda: self.now_ms, monotonic_ms=lambda: self.up_ms, is_synchronised=lambda: self.is_kept
        )
        self.renewal = Renewal(device, Claimed(folder), self.standing, self._tries, clock)
        monkeypatch.setattr(self.renewal, "_api", lambda: self)
        monkeypatch.setattr(tls_identity, "boot_ms", lambda: self.up_ms)

    async def _tries(self, shown: Shown) -> bool:
        raise AssertionError(shown)

    def time_ms(self) -> int:
        """As the API."""
        self.asked += 1
        if not self.is_there:
            raise CloudError("no route to host")
        if not self.is_believed:
            raise cloud_api.DoubtError(ENDED, is_of_time=True)
        return self.now_ms

    def told(self) -> list[str]:
        return doubts(self.folder, self.now_ms)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, monkeypatch)


async def test_a_cloud_that_is_asked_for_the_time_and_not_believed_is_told(cloud: Cloud) -> None:
    assert await cloud.renewal.step() == LOOK_AGAIN_S
    assert [ENDED in one for one in cloud.told()] == [True]


@pytest.mark.parametrize("is_there", [True, False])
async def test_once_the_clock_is_set_nothing_of_time_is_told(cloud: Cloud, *, is_there: bool) -> None:
    await cloud.renewal.step()
    assert cloud.told()
    cloud.now_ms, cloud.is_kept, cloud.is_there = NOW_MS + 10 * DAY_MS, True, is_there
    assert cloud.told() == [], "the clock has moved, and nobody has asked since"
    cloud.up_ms += round(LOOK_AGAIN_S * 1_000)
    cloud.now_ms += round(LOOK_AGAIN_S * 1_000)
    await cloud.renewal.step()
    assert bool(cloud.told()) is is_there, "asked once more, and not believed by the right clock either"


async def test_a_cloud_is_asked_each_hour_until_it_is_believed_and_not_after_that(cloud: Cloud) -> None:
    await cloud.standing.doubted(CLOUD, cloud_api.DoubtError(ENDED, is_of_time=False))
    cloud.is_kept, cloud.is_believed = True, True
    await cloud.renewal.step()
    assert (cloud.told(), cloud.asked) == ([], 1)
    cloud.up_ms += 3 * DAY_MS
    await cloud.renewal.step()
    assert cloud.asked == 1


async def test_who_answers_what_is_asked_is_believed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it was not asked for the time, and confirms nothing."""
    cloud.is_kept = True
    await cloud.standing.doubted(CLOUD, NAME)

    monkeypatch.setattr(cloud.renewal, "_due_in_s", lambda: 0.0)
    monkeypatch.setattr(cloud.renewal, "_is_renewal_due", lambda: False)
    assert await cloud.renewal.step() == 0.0
    assert cloud.told() == []


async def test_who_refuses_the_device_is_believed(tmp_path: Path) -> None:
    standing = Standing(tmp_path)
    await standing.doubted(BROKER, NAME)
    await standing.refused(BROKER, "it has been revoked")
    assert doubts(tmp_path) == []


async def test_what_the_disk_did_not_take_is_written_at_the_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    standing = Standing(tmp_path)
    with monkeypatch.context() as refusing:
        refusing.setattr(tls_identity, "replace_file", full)
        await standing.doubted(BROKER, NAME)
    await standing.doubted(BROKER, NAME)
    assert doubts(tmp_path) == [str(NAME)]
    (tmp_path / "doubted").unlink()  # as a claim does beside it
    await standing.doubted(BROKER, NAME)
    assert doubts(tmp_path) == [str(NAME)]


async def test_of_another_broker_the_doubt_is_not_told(tmp_path: Path) -> None:
    before, settings = station(tmp_path, 1), station(tmp_path, 2)
    standing = Standing(tmp_path)
    standing.speaks_to(BROKER, before.broker.address)
    await standing.doubted(BROKER, NAME)
    assert status_of(Station(before, list, {}))["wrong"] == [str(NAME)]
    one = Station(settings, list, {})
    assert (status_of(one)["wrong"], "wrong" in identity_of(one)) == ([], False), "the agent has not been started yet"
    Standing(tmp_path).speaks_to(BROKER, before.broker.address)
    assert doubts(tmp_path) == [str(NAME)]
    with new_spool(tmp_path) as spool:
        Uplink(settings, spool)
    assert doubts(tmp_path) == []
