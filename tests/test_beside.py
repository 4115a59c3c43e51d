"""What costs little is worked out on the event loop, what may cost more in a thread beside it; it says the same."""

import threading

import pytest
from api_cloud import ApiCloud

from pledgewatch_cloud.access import view
from pledgewatch_cloud.api import clusters, facilities
from pledgewatch_cloud.api.beside import worked_out
from pledgewatch_cloud.api.clusters import Standings
from pledgewatch_cloud.decide.access import lines

PATHS = ["/clusters", "/events", "/facilities/facility-1"]


async def test_it_is_worked_out_here_or_beside() -> None:
    here = threading.get_ident()
    assert await worked_out(True, threading.get_ident) == here  # noqa: FBT003
    assert await worked_out(False, threading.get_ident) != here  # noqa: FBT003
    with pytest.raises(ZeroDivisionError):
        await worked_out(False, lambda: 1 // 0)  # noqa: FBT003


@pytest.mark.parametrize("is_much", [False, True])
def test_much_is_worked_out_beside_and_little_is_not(
    cloud: ApiCloud, monkeypatch: pytest.MonkeyPatch, *, is_much: bool
) -> None:
    answers = {path: cloud.get(path) for path in PATHS}
    cloud.spine.tick()
    if is_much:
        monkeypatch.setattr(clusters, "ASSETS", 0)
        monkeypatch.setattr(facilities, "LOTS", 0)
        monkeypatch.setattr(view, "AT_ONCE", 0)
    threads: dict[str, int] = {}

    def noted(host: object, name: str) -> None:
        whole = getattr(host, name)

        def call(*given: object) -> object:
            threads[name] = threading.get_ident()
            return whole(*given)

        monkeypatch.setattr(host, name, call)

    noted(Standings, "fleet_of")
    noted(view.View, "page" if is_much else "page_at_once")
    noted(lines, "lines_now")
    noted(clusters, "clusters")  # which is never beside
    again = {path: cloud.get(path) for path in PATHS}
    assert again["/clusters"] == answers["/clusters"]
    assert again["/facilities/facility-1"]["lines"] == answers["/facilities/facility-1"]["lines"]
    assert again["/events"]["events"][: len(answers["/events"]["events"])] == answers["/events"]["events"]
    assert len(threads) == 4
    loop = threads.pop("clusters")
    assert {one != loop for one in threads.values()} == {is_much}
