"""The bridge as it is put together: each source has its share of the queue, and its status says what waits at it."""

from pathlib import Path
from typing import Any

import pytest
from wms import secret_file

from pledgewatch_gateway.documents import Form, drop_folder
from pledgewatch_gateway.documents.bridge import Bridge
from pledgewatch_gateway.documents.drop_folder import DropSettings
from pledgewatch_gateway.documents.settings import DocumentsSettings


def bridge_of(folder: Path, *sections: tuple[str, str], **told: Any) -> Bridge:
    """A bridge of folders, each of a source and by a name, that takes files as they lie there."""
    drops = []
    for source, name in sections:
        (folder / name).mkdir()
        drops.append(
            DropSettings(
                source=source,
                name=name,
                secret_file=secret_file(folder),
                folder=folder / name,
                form=Form.CSV,
                ending=".csv",
                quiet_s=0.0,
            )
        )
    return Bridge(DocumentsSettings(cloud="https://x", drop=tuple(drops), **told), folder / "queue", lambda: 7)


def errors(bridge: Bridge) -> list[str]:
    return [one["error"] for one in bridge.sources()]


async def test_a_source_that_fills_its_share_leaves_the_others_theirs(tmp_path: Path) -> None:
    bridge = bridge_of(tmp_path, ("wms-a", "a"), ("wms-a", "a-more"), ("wms-b", "b"), documents_max=4)
    for name in ("a", "a-more", "b"):
        for number in range(2):
            (tmp_path / name / f"{number}.csv").write_bytes(f"{name};{number}\n".encode())
    for one in bridge.watchers:
        await one.look()
    assert [one.handed_on for one in bridge.watchers] == [2, 0, 2], "two sections of one source share what it has"
    first, second, third = errors(bridge)
    assert (first, third) == ("", "")
    assert second.startswith("2 documents of wms-a (")
    assert second.endswith("wait for the cloud, as many as may, 2 sources sharing the room")


async def test_a_table_that_waits_for_its_end_stands_in_its_sources_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drop_folder, "PATIENCE_S", 0.0)
    bridge = bridge_of(tmp_path, ("wms-a", "a"), ("wms-b", "b"))
    table = tmp_path / "a" / "stock.csv"
    table.write_bytes(b"a;b\n1;4")
    for one in bridge.watchers:
        await one.look()
    assert errors(bridge) == ["'stock.csv' waits: its last line has no end and may be cut; end it, if it is whole", ""]
    assert [one["last_look"] for one in bridge.sources()] == [7, 7]
    table.write_bytes(b"a;b\n1;40\n")
    await bridge.watchers[0].look()
    assert (errors(bridge), bridge.status()["waiting"]) == (["", ""], 1)
