"""The document bridge in the gateway's own process: killed again and again, with a cloud that is away for a while."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from edge_support import OPERATOR, until
from wms import SOURCE, CloudDouble, StockSystem, answer, problem, secret_file, serving

from pledgewatch_gateway.__main__ import main
from pledgewatch_gateway.config import load
from pledgewatch_gateway.documents import Document, Form
from pledgewatch_gateway.documents.document_queue import Queue
from pledgewatch_gateway.documents.wms_records import records_of, rows_of
from pledgewatch_gateway.sources.strict_json import read_json
from pledgewatch_sim.programs import free_port
from pledgewatch_wire.settings import SettingsError

CONFIG = f"""
[gateway]
operator = "{OPERATOR}"
name = "site-la-3"
state_folder = "state"
[broker]
host = "127.0.0.1"
port = 1
[status_page]
port = PAGE
[[zones]]
name = "Racks"
device = "racks"
[documents]
cloud = "CLOUD"
retry_max_s = 0.2
timeout_s = 5
[[documents.rest]]
source = "{SOURCE}"
secret_file = "secret"
url = "WMS/moves"
every_s = 1
[documents.rest.answer]
records = "data.moves"
kinds = [{{ theirs = "IN", kind = "received" }}]
[documents.rest.answer.fields]
id = "no"
kind = "what"
at = "when"
sku = "line.item"
quantity = "line.qty"
[documents.rest.answer.fixed]
unit = "EA"
[documents.rest.paging]
since = "since"
since_field = "changed"
overlap_s = 0
page = "page"
size = "limit"
page_size = 10
[[documents.drop]]
source = "{SOURCE}"
name = "tables"
secret_file = "secret"
folder = "drop"
form = "csv"
ending = ".csv"
every_s = 0.05
quiet_s = 0.05
"""


def written(folder: Path, *, wms: str = "http://127.0.0.1:1", cloud: str = "http://127.0.0.1:1", page: int = 0) -> Path:
    secret_file(folder)
    (folder / "drop").mkdir(exist_ok=True)
    text = CONFIG.replace("WMS", wms).replace("CLOUD", cloud).replace("PAGE", str(page))
    file = folder / "gateway.toml"
    file.write_text(text, encoding="utf-8")
    return file


def launched(file: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pledgewatch_gateway", "run", "--config", str(file)]
    with file.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(command, stderr=log)


@asynccontextmanager
async def running(file: Path, *, kill: bool = False) -> AsyncIterator[None]:
    """The gateway in a process of its own, ended by a signal."""
    with launched(file) as program:
        try:
            yield
            assert program.poll() is None, file.with_suffix(".log").read_text(encoding="utf-8")
        finally:
            program.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            await asyncio.to_thread(program.wait, 60)
    assert kill or program.returncode == 0


def rows_taken(cloud: CloudDouble) -> list[str]:
    return [row["id"] for one in cloud.taken if one.form == "json" for row in json.loads(one.data)["movements"]]


def tables_taken(cloud: CloudDouble) -> list[bytes]:
    return [one.data for one in cloud.taken if one.form == "csv"]


async def test_killed_at_any_moment_each_document_comes_to_the_cloud_and_none_is_made_up(tmp_path: Path) -> None:
    dice, system, cloud = random.Random(11), StockSystem(), CloudDouble()
    async with serving(system.respond) as wms, serving(cloud.respond) as server:
        file = written(tmp_path, wms=wms.url, cloud=server.url)
        tables: list[bytes] = []
        for _ in range(5):
            system.add(23)
            for _ in range(20):
                tables.append(b"table %d\n" % len(tables))
                part = tmp_path / "drop" / f".{len(tables)}"
                part.write_bytes(tables[-1])
                part.replace(tmp_path / "drop" / f"{len(tables)}.csv")
            async with running(file, kill=True):
                seen = len(cloud.taken)
                await until(lambda: len(cloud.taken) > seen, "the first of them")  # noqa: B023 - waited for at once
                await asyncio.sleep(dice.random() * 0.3)
        system.add(1)
        async with running(file):
            await until(lambda: set(rows_taken(cloud)) == {str(one["no"]) for one in system.moves}, "all moves")
            await until(lambda: set(tables_taken(cloud)) == set(tables), "all tables")
            await until(lambda: not list((tmp_path / "drop").glob("*.csv")), "the folder to be empty")
            queue = tmp_path / "state" / "stock.documents"
            left = queue / "waiting"  # a document leaves it after the answer to it
            await until(lambda: not list(left.glob("*.document")), "the queue to be empty")
        assert Queue(queue, 1, 1).waiting() == []
        assert len(list((tmp_path / "drop" / "done").iterdir())) == len(tables)
    assert len(tables_taken(cloud)) < 2 * len(tables), "what is handed in again is what was under way"


async def test_a_cloud_that_is_away_is_waited_for_and_told_on_the_status_page(tmp_path: Path) -> None:
    system, cloud, port, page = StockSystem(), CloudDouble(), free_port(), free_port()
    system.add(15)
    async with serving(system.respond) as wms:
        file = written(tmp_path, wms=wms.url, cloud=f"http://127.0.0.1:{port}", page=page)
        (tmp_path / "drop" / "a.csv").write_bytes(b"1\n")
        async with running(file):
            await until(lambda: documents_on(page).get("waiting") == 3, "two pages and a table to wait")
            status = documents_on(page)
            assert status["error"].startswith("ConnectError")
            assert status["taken"] == 0
            sources = {one["source"]: one for one in status_on(page)["document_sources"]}
            assert (sources[SOURCE]["handed_on"], sources["tables"]["handed_on"]) == (2, 1)
            assert sources["tables"]["last_look"].endswith("+00:00")
            cloud.say = lambda request: (
                problem(422, "nothing of the document is taken", "line 1: <b>")
                if request.asked["form"] == "csv"
                else None
            )
            async with serving(cloud.respond, port):
                await until(lambda: documents_on(page).get("refused") == 1, "the refusal")
                cloud.say = lambda request: (
                    problem(422, "no") if request.asked["form"] == "csv" else answer(200, {"entry": 1, "changed": True})
                )
                await until(lambda: documents_on(page).get("error") == "", "the rest to be taken")
            status = documents_on(page)
            assert (status["taken"], status["waiting"], status["error"]) == (2, 0, "")
            assert status["last_refusal"] == f"{SOURCE}, csv: a.csv; nothing of the document is taken; line 1: <b>"
            shown = await asyncio.to_thread(fetched, page, "/")
            assert "<h2>document sources</h2>" in shown
            assert "line 1: &lt;b&gt;" in shown
    log = file.with_suffix(".log").read_text(encoding="utf-8")
    assert log.count("the cloud that takes documents lost") == 1
    assert log.count("the cloud that takes documents back") == 1
    assert "HTTP Request" not in log, "the client's own log says every request"


async def test_a_stock_system_that_is_away_keeps_no_other_source_from_going_on(tmp_path: Path) -> None:
    cloud = CloudDouble()
    async with serving(cloud.respond) as server:
        file = written(tmp_path, cloud=server.url)
        (tmp_path / "drop" / "a.csv").write_bytes(b"1\n")
        async with running(file):
            await until(lambda: tables_taken(cloud) == [b"1\n"], "the table")
    assert f"document source {SOURCE} lost" in file.with_suffix(".log").read_text(encoding="utf-8")


def fetched(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
        found: str = response.read().decode("utf-8")
    return found


def status_on(port: int) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(fetched(port, "/status.json"))
    return found


def documents_on(port: int) -> dict[str, Any]:
    """What the page says of the documents; nothing while it is not there."""
    try:
        found: dict[str, Any] = status_on(port)["documents"][0]
    except OSError:
        return {}
    return found


def test_what_was_refused_is_told_and_can_be_handed_in_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path)
    queue = Queue(load(file).documents_folder, 10, 1_000_000)
    for number in range(3):
        queue.put(Document(SOURCE, Form.CSV, f"{number}.csv", b"%d\n" % number))
    for name in queue.waiting()[:2]:
        queue.set_aside(name, ["line 2: no"])
    assert main(["documents", "--config", str(file)]) == 0
    *refused, summary = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert [one["reasons"] for one in refused] == [["line 2: no"]] * 2
    assert (summary["waiting"], summary["refused"]) == (1, 2)
    assert main(["documents", "--config", str(file), "--again", refused[0]["refused"]]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["refused"] == 1
    assert main(["documents", "--config", str(file), "--again", "all"]) == 0
    assert len(queue.waiting()) == 3
    assert main(["documents", "--config", str(file), "--again", "nothing-like-it"]) == 1
    assert "nothing-like-it is none that was refused" in capsys.readouterr().err


def test_check_reads_the_secrets_and_asks_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path)
    assert main(["run", "--config", str(file), "--check"]) == 0
    assert not (tmp_path / "state").exists()
    (tmp_path / "secret").write_text("none", encoding="ascii")
    (tmp_path / "drop").rmdir()
    assert main(["run", "--config", str(file), "--check"]) == 2
    said = capsys.readouterr().err
    assert f"[documents] rest[0] secret_file: {tmp_path / 'secret'} holds no Standard Webhooks secret" in said
    assert f"[documents] drop[0] folder: {tmp_path / 'drop'} is no folder; make it" in said
    assert main(["status", "--config", str(file)]) == 0, "what a zone has spooled is told all the same"


@pytest.mark.parametrize(
    ("folder", "ending", "is_refused"),
    [
        ("drop", ".csv", True),
        ("here/../drop", ".CSV", True),
        ("link", ".csv", True),
        ("drop", ".moves.csv", True),  # a file with that ending has the other one too
        ("drop", ".txt", False),
        ("here", ".csv", False),
    ],
)
def test_check_refuses_two_sections_that_would_take_one_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str, ending: str, is_refused: bool
) -> None:
    file = written(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "drop")
    text = file.read_text(encoding="utf-8")
    other = text[text.index("[[documents.drop]]") :].replace('name = "tables"', 'name = "other"')
    other = other.replace('folder = "drop"', f'folder = "{folder}"').replace('".csv"', f'"{ending}"')
    file.write_text(f"{text}\n{other}", encoding="utf-8")
    assert main(["run", "--config", str(file), "--check"]) == (2 if is_refused else 0)
    said = "[documents] drop[1] takes files that [documents] drop[0] takes too; give each a folder or an ending"
    assert (said in capsys.readouterr().err) is is_refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('form = "csv"', 'form = "edifact"'),
            "[documents] drop[0] form is 'edifact'; it must be one of json, csv, x12",
        ),
        (('ending = ".csv"', ""), "[documents] drop[0] ending is missing"),
        (('secret_file = "secret"\nurl', "url"), "[documents] rest[0] secret_file is missing"),
        (
            ("WMS/moves", "wms/moves"),
            "[documents] rest[0] url 'wms/moves' is none; write it as https://wms.example.org/",
        ),
        (("CLOUD", "ftp://x"), "[documents] cloud 'ftp://x' is none; write it as https://pledgewatch.example.org"),
        (('page = "page"\n', ""), "[documents] rest[0] paging size needs cursor or page"),
        (('id = "no"', 'ident = "no"'), "[documents] rest[0] answer fields ident is no key of this program"),
        (('device = "racks"', 'device = "racks"\nfolder = "state/stock.documents"'), "[[zones]] folder "),
        (("[gateway]", '[gateway]\nodd = "x"'), "[gateway] odd is no key"),
    ],
)
def test_an_error_names_the_place_and_the_cure(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    file = tmp_path / "gateway.toml"
    text = (
        CONFIG.replace(*change, 1).replace("WMS", "https://wms.example.org").replace("CLOUD", "https://x.example.org")
    )
    file.write_text(text.replace("PAGE", "0"), encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert any(line.startswith(f"{file}: {message}") for line in str(caught.value).splitlines()), str(caught.value)


def test_the_example_of_the_page_reads_as_it_says(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "GATEWAY.md").read_text(encoding="utf-8")
    told = page[page.index("### Asked over HTTP") :]
    example, settings = (told.split(f"```{kind}\n")[1].split("```")[0] for kind in ("json", "toml"))
    first, last = CONFIG.index("[documents.rest.answer]"), CONFIG.index("[[documents.drop]]")
    file = tmp_path / "gateway.toml"
    text = (CONFIG[:first] + settings + CONFIG[last:]).replace("PAGE", "0").replace("WMS", "https://wms.example.org")
    file.write_text(text.replace("CLOUD", "https://cloud.example.org"), encoding="utf-8")
    documents = load(file).documents
    assert documents is not None
    answer_settings = documents.rest[0].answer
    assert rows_of(answer_settings, records_of(answer_settings, read_json(example.encode(), 10_000))) == [
        {
            "unit": "EA", "id": "8812", "kind": "sold", "at": "2026-03-01T09:30:00Z", "sku": "SOFA-3", "bin": "A-01",
            "quantity": "2",
        }
    ]  # fmt: skip


def test_a_gateway_without_documents_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(CONFIG[: CONFIG.index("[documents]")].replace("PAGE", "0"), encoding="utf-8")
    assert main(["documents", "--config", str(file)]) == 2
    assert "this gateway has no documents" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["gateway.toml"]
