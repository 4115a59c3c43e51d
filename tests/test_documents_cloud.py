"""From a stock system through the bridge to the real cloud's stock book: what is said there is what is counted here."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stocked import LENIENT, SECRETS, SHOP_SOFA, STRICT, StockCloud, came_in, line, pieces, table
from stocking import interchange
from wms import Answer, Request, StockSystem, answer, secret_file, serving

from pledgewatch_gateway.documents import Form
from pledgewatch_gateway.documents.bridge import Bridge
from pledgewatch_gateway.documents.drop_folder import DropSettings
from pledgewatch_gateway.documents.position import PagingSettings
from pledgewatch_gateway.documents.rest_poll import RestSettings
from pledgewatch_gateway.documents.settings import DocumentsSettings
from pledgewatch_gateway.documents.wms_records import FieldSettings, FixedSettings, KindSettings, RecordSettings

ANSWER = RecordSettings(
    records="data.moves",
    fields=FieldSettings(id="no", kind="what", at="when", sku="line.item", lot="line.item", quantity="line.qty"),
    fixed=FixedSettings(unit="EA"),
    kinds=(KindSettings(theirs="IN", kind="received"),),
)
PAGING = PagingSettings(since="since", since_field="changed", page="page", size="limit", page_size=10, overlap_s=120.0)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[StockCloud]:
    one = StockCloud(tmp_path / "cloud")
    yield one
    one.close()


class Site:
    """A bridge between a stock system that is asked, two folders and the cloud."""

    def __init__(self, folder: Path, wms: str, cloud: str) -> None:
        self.tables, self.edi = folder / "tables", folder / "edi"
        secrets = {}
        for one in (self.tables, self.edi, folder / STRICT, folder / LENIENT):
            one.mkdir(exist_ok=True)
        for source in (STRICT, LENIENT):
            secrets[source] = secret_file(folder / source, SECRETS[source])
        usual = {"source": STRICT, "secret_file": secrets[STRICT], "quiet_s": 0.0}
        settings = DocumentsSettings(
            cloud=cloud,
            rest=(
                RestSettings(
                    source=LENIENT, secret_file=secrets[LENIENT], url=f"{wms}/moves", answer=ANSWER, paging=PAGING
                ),
            ),
            drop=(
                DropSettings(name="tables", folder=self.tables, form=Form.CSV, ending=".csv", **usual),  # type: ignore[arg-type]
                DropSettings(name="edi", folder=self.edi, form=Form.X12, ending=".edi", **usual),  # type: ignore[arg-type]
            ),
        )
        self.bridge = Bridge(settings, folder / "state", lambda: time.time_ns() // 1_000_000)

    async def work(self) -> None:
        """Look everywhere once, and deliver."""
        for one in self.bridge.watchers:
            await one.look()
            assert one.trouble == ""
        await self.bridge.delivery.deliver()
        assert self.bridge.delivery.trouble == ""


async def test_what_a_stock_system_says_is_what_the_stock_book_holds(tmp_path: Path, cloud: StockCloud) -> None:
    system = StockSystem()

    def respond(request: Request) -> Answer:
        headers = {name: value for name, value in request.headers.items() if name != "host"}
        said = cloud.client.post(request.path, params=dict(request.asked), content=request.body, headers=headers)
        return answer(said.status_code, said.content, content_type=said.headers["content-type"])

    async with serving(system.respond) as wms, serving(respond) as server:
        site = Site(tmp_path, wms.url, server.url)
        system.add(25)
        (site.tables / "a.csv").write_bytes(table(line(1), line(2)))
        (site.edi / "a.edi").write_bytes(interchange(came_in(pieces(40), pieces(2), total="42")).encode())
        await site.work()
        assert (cloud.on_hand(SHOP_SOFA), cloud.on_hand()) == (25 * 1_500, (40 + 40 + 42) * 1_000)
        assert site.bridge.queue.standing() == (0, 0, 0, None)

        before = cloud.known()
        (site.tables / "again.csv").write_bytes(table(line(1), line(2)))
        (tmp_path / "state" / "cursors" / f"{LENIENT}.json").unlink()
        await site.work()
        assert cloud.known() == before, "the same again says nothing new"
        assert site.bridge.delivery.taken == 2 * (3 + 1) + 1

        (site.tables / "wrong.csv").write_bytes(table(line(3), line(4, unit="FT")))
        system.add(5)
        await site.work()
        assert (cloud.on_hand(SHOP_SOFA), cloud.on_hand()) == (30 * 1_500, (40 + 40 + 42) * 1_000)
        (refused,) = site.bridge.queue.refused()
        assert refused.reasons[:2] == [
            "wms, csv: wrong.csv",
            "nothing of the document is taken; it is kept in quarantine",
        ]
        assert refused.reasons[2].startswith("line 3: unit: 'FT' is none of ")
