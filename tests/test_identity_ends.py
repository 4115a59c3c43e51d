"""When the broker is told that certificates have ended, by which it forgets whom it has let in before: each within a
minute of its end, however many there are, and no oftener than that takes."""

import dataclasses
import itertools
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from builders import ManualClock, book_document
from claiming import WORLD_MS, ClaimCloud

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.identity_book import Identity, IdentityBook, Issued
from pledgewatch_cloud.identity.broker_files import OWN_EVERY_S, BrokerFiles
from pledgewatch_cloud.identity.settings import OTHERS_EVERY_S

WITHIN_MS = 60_000
LATER_MS = WORLD_MS + 80 * 86_400_000


class Ends:
    """A fleet by the ends of the older of its devices' two certificates, and a look at it every second. `by_hand`:
    one more device has claimed nothing."""

    def __init__(self, folder: Path, ends_ms: Iterable[int], *, by_hand: bool = False) -> None:
        cloud = ClaimCloud(folder)
        cloud.cloud.spine.commit(drafts.amend, book_document(cloud.cloud.device))
        state = cloud.cloud.writer.state
        (installed,) = state.book.installations.values()
        both = {
            f"truck-{number}": (Issued(f"a{number}", end_ms, "", ""), Issued(f"b{number}", LATER_MS, "", ""))
            for number, end_ms in enumerate(ends_ms)
        }
        identities = IdentityBook({}, {name: Identity(name, certificates=some) for name, some in both.items()})
        installations = {name: installed._replace(device=name) for name in both}
        if by_hand:
            installations["box-1"] = installed._replace(device="box-1")
        book = SimpleNamespace(installations=installations)
        writer = SimpleNamespace(state=dataclasses.replace(state, identities=identities, book=book))  # type: ignore[arg-type]
        self.told_ms, self.clock, self.connected = list[int](), ManualClock(WORLD_MS), True
        self.files = BrokerFiles(
            writer,  # type: ignore[arg-type]
            *(cloud.authority, folder, self.clock, self._reload),
            cloud="cloud",
            health="",
            connected=lambda: self.connected,
            now_s=lambda: self.clock.at_ms / 1_000,
        )
        cloud.cloud.close()

    async def _reload(self) -> None:
        self.told_ms.append(self.clock.at_ms)

    async def looked(self, for_s: int) -> list[int]:
        """When the broker was told meanwhile."""
        before = len(self.told_ms)
        for _ in range(for_s):
            await self.files.keep()
            self.clock.at_ms += 1_000
        return self.told_ms[before:]


async def test_of_each_within_a_minute_and_twice_a_minute_at_most(tmp_path: Path) -> None:
    ends_ms = [WORLD_MS + 100_000 + 1_000 * (number * number % 1_800) for number in range(2_000)]
    one = Ends(tmp_path, ends_ms)
    told_ms = await one.looked(2_000)
    for end_ms in ends_ms:
        assert any(end_ms + 10_000 <= at_ms < end_ms + WITHIN_MS for at_ms in told_ms), "once its clock is there too"
    assert all(later - at >= 30_000 for at, later in itertools.pairwise(told_ms))
    assert len(told_ms) > 20


async def test_of_one_once(tmp_path: Path) -> None:
    one = Ends(tmp_path, [WORLD_MS + 100_000])
    assert await one.looked(2_000) == [WORLD_MS, WORLD_MS + 110_000]


async def test_of_one_also_while_the_cloud_is_away(tmp_path: Path) -> None:
    one = Ends(tmp_path, [WORLD_MS + 100_000], by_hand=True)
    assert await one.looked(1) == [WORLD_MS]
    one.connected = False
    assert await one.looked(200) == [WORLD_MS + 110_000], "and of what is not known to have ended, not"


async def test_of_what_others_have_made_nothing_is_known_so_it_is_told_again_and_again(tmp_path: Path) -> None:
    told_ms = await Ends(tmp_path, [], by_hand=True).looked(400)
    assert told_ms == [WORLD_MS + 1_000 * OTHERS_EVERY_S * number for number in range(9)]
    assert OTHERS_EVERY_S * 1_000 < WITHIN_MS


async def test_where_only_the_clouds_own_is_of_others_once_an_hour(tmp_path: Path) -> None:
    told_ms = await Ends(tmp_path, [LATER_MS]).looked(3_700)
    assert told_ms == [WORLD_MS, WORLD_MS + 1_000 * int(OWN_EVERY_S)]
