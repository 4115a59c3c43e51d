"""Documents on their way to the cloud: taken, refused or waiting, by what the cloud says of them and nothing else."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook
from wms import SECRET, SOURCE, Answer, CloudDouble, Request, Server, answer, problem, secret_file, serving

from pledgewatch_cloud.notices.senders import SenderKeys, Senders
from pledgewatch_cloud.signature import Key
from pledgewatch_gateway.documents import AwayError, Document, Form, document_queue
from pledgewatch_gateway.documents.credentials import key_in, signed
from pledgewatch_gateway.documents.deliver import TROUBLES_MAX, Delivery, Word, meaning
from pledgewatch_gateway.documents.document_queue import Queue
from pledgewatch_gateway.documents.drop_folder import DropSettings
from pledgewatch_gateway.documents.settings import DocumentsSettings
from pledgewatch_gateway.documents.web import Reply

TAKEN = {"entry": 1, "changed": True}
TWO = tuple(
    DropSettings(source=one, secret_file=Path(one), folder=Path(), form=Form.CSV, ending=".csv") for one in ("a", "b")
)


def document(number: int, form: Form = Form.CSV, source: str = SOURCE) -> Document:
    return Document(source, form, f"file-{number}", f"{number};caf\xe9\n".encode("cp1252"))


def settings(folder: Path, url: str, *sources: str, **changes: Any) -> DocumentsSettings:
    secret = secret_file(folder)
    drops = [
        DropSettings(source=one, secret_file=secret, folder=folder, form=Form.CSV, ending=".csv")
        for one in sources or (SOURCE,)
    ]
    return DocumentsSettings(cloud=url, drop=tuple(drops), **{"timeout_s": 20.0, "retry_max_s": 0.1, **changes})


def now_ms() -> int:
    """The time as it is: the double of the cloud believes no signature that is minutes old."""
    return time.time_ns() // 1_000_000


class Bench:
    """A delivery between a queue and a cloud."""

    def __init__(self, folder: Path, server: Server, cloud: CloudDouble) -> None:
        self.folder, self.server, self.cloud = folder, server, cloud
        self.queue = Queue(folder / "queue", 100, 100_000_000)
        self.delivery = Delivery(settings(folder, server.url + "/"), self.queue, now_ms)

    def put(self, *documents: Document) -> None:
        for one in documents:
            self.queue.put(one)

    @property
    def waiting(self) -> list[str]:
        return [self.queue.read(name).name for name in self.queue.waiting()]


@asynccontextmanager
async def bench_in(folder: Path) -> AsyncIterator[Bench]:
    cloud = CloudDouble()
    async with serving(cloud.respond) as server:
        yield Bench(folder, server, cloud)


@given(
    key=st.binary(min_size=24, max_size=64),
    message_id=st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=70),
    body=st.text(max_size=200),
)
def test_signatures_are_those_of_the_schemes_own_library(key: bytes, message_id: str, body: str) -> None:
    at = datetime.now(UTC).replace(microsecond=0)
    headers = signed(key, message_id, int(at.timestamp()), body.encode("utf-8", "surrogatepass"))
    library = Webhook("whsec_" + base64.b64encode(key).decode())
    if body.encode("utf-8", "replace").decode() == body:
        assert headers["webhook-signature"] == library.sign(message_id, at, body)
        library.verify(body, dict(headers), json_parse=False)


def test_a_signature_is_that_of_the_schemes_published_example(tmp_path: Path) -> None:
    # The example of the Standard Webhooks specification's reference libraries.
    secret = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = signed(
        key_in(secret_file(tmp_path, secret)), "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_cloud_knows_who_has_signed_and_that_nothing_was_changed() -> None:
    senders = Senders([SenderKeys(SOURCE, (Key(SECRET),))])
    body = "1;café\n".encode("cp1252")
    at_ms = now_ms()
    headers = dict(signed(base64.b64decode(SECRET.removeprefix("whsec_")), "stock-1", at_ms // 1_000, body))
    assert senders.of_request(headers, body, at_ms) == SOURCE
    with pytest.raises(Exception, match="is not that of this body"):
        senders.of_request(headers, body + b"\n", at_ms)


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!!", "c2hvcnQ=" * 8, "\xff", "whsec_" + "A" * 92]
)
def test_what_is_no_secret_is_said_without_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(AwayError, match="holds no Standard Webhooks secret") as refused:
        key_in(path)
    assert text in {"", "whsec_"} or text not in str(refused.value)


async def test_what_is_taken_waits_no_more_and_came_byte_for_byte(tmp_path: Path) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(document(1), document(2, Form.X12), document(3, Form.JSON))
        assert await bench.delivery.deliver() == 0.0
        assert [(one.form, one.data) for one in bench.cloud.taken] == [
            (one.form, one.data) for one in (document(1), document(2, Form.X12), document(3, Form.JSON))
        ]
        assert (bench.waiting, bench.delivery.taken, bench.delivery.trouble) == ([], 3, "")
    first = bench.server.requests[0]
    assert first.headers["webhook-id"] == f"stock-{document(1).digest}"
    assert [one.headers["content-type"] for one in bench.server.requests] == [
        "text/csv",
        "application/edi-x12",
        "application/json",
    ]
    assert {one.headers["x-pledgewatch-sender"] for one in bench.server.requests} == {SOURCE}


async def test_what_is_refused_is_set_aside_with_the_clouds_reasons_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(document(1), document(2), document(3))
        said = problem(
            422, "nothing of the document is taken", "line 2: unit: 'STK' is none of EA", "line 7: sku: is missing"
        )
        bench.cloud.say = lambda request: said if request.body.startswith(b"2") else answer(200, TAKEN)
        await bench.delivery.deliver()
        assert bench.waiting == []
        (refused,) = bench.queue.refused()
        assert refused.reasons == [
            f"{SOURCE}, csv: file-2",
            "nothing of the document is taken",
            "line 2: unit: 'STK' is none of EA",
            "line 7: sku: is missing",
        ]
        assert "'file-2' of wms-la-3 is refused and set aside: nothing of the document is taken" in caplog.text
        bench.queue.again(refused.name)
        bench.cloud.say = None
        await bench.delivery.deliver()
        assert [one.data for one in bench.cloud.taken] == [document(2).data]
    assert bench.queue.refused() == []
    assert len({one.headers["webhook-id"] for one in bench.server.requests if one.body.startswith(b"2")}) == 1


async def test_rows_that_were_not_taken_of_a_document_that_was_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(document(1))
        bench.cloud.say = lambda _: answer(200, {**TAKEN, "faults": [{"line": 3, "text": "sku: is missing"}]})
        await bench.delivery.deliver()
    assert bench.waiting == []
    assert "taken but for 3: sku: is missing" in caplog.text


# What the other side says, and what that means for the document.
ANSWERS: list[tuple[bytes, Word]] = [
    (answer(200, TAKEN), Word.TAKEN),
    (answer(201, TAKEN), Word.TAKEN),
    (answer(200, {"entry": None, "changed": False}), Word.TAKEN),
    (answer(200, b"<html>Welcome to the guest network</html>", content_type="text/html"), Word.LATER),
    (answer(200, {"ok": True}), Word.LATER),
    (answer(200, b"[]"), Word.LATER),
    (answer(200, b'{"changed": tru'), Word.LATER),
    (answer(204), Word.LATER),
    (answer(302, location="/elsewhere"), Word.LATER),
    (answer(307, location="/elsewhere"), Word.LATER),
    (problem(400, "no"), Word.REFUSED),
    (problem(409, "no"), Word.REFUSED),
    (problem(413, "no"), Word.REFUSED),
    (problem(415, "no"), Word.REFUSED),
    (problem(422, "no"), Word.REFUSED),
    (answer(413, b"<html>413 Request Entity Too Large</html>", content_type="text/html"), Word.LATER),
    (answer(400, {"error": "bad gateway says bad request"}), Word.LATER),
    (problem(401, "who are you"), Word.LATER),
    (problem(403, "not yours"), Word.LATER),
    (problem(404, "no such source"), Word.LATER),
    (answer(404, b"", content_type="text/html"), Word.LATER),
    (problem(429, "slowly"), Word.LATER),
    (answer(500, b"oh", content_type="text/plain"), Word.LATER),
    (problem(503, "the journal cannot be used now"), Word.LATER),
]


@pytest.mark.parametrize(("said", "word"), ANSWERS)
async def test_only_the_clouds_own_word_lets_go_of_a_document(tmp_path: Path, said: Answer, word: Word) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(document(1))
        bench.cloud.say = lambda _: said
        await bench.delivery.deliver()
        standing = bench.queue.standing()
    assert (standing.waiting, standing.refused) == {Word.TAKEN: (0, 0), Word.REFUSED: (0, 1), Word.LATER: (1, 0)}[word]
    assert bool(bench.delivery.trouble) == (word is Word.LATER)
    assert len(bench.server.requests) == 1, "a redirect is not followed"


async def test_a_huge_answer_and_none_at_all_let_nothing_go(tmp_path: Path) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(document(1))
        for said in (answer(200, b" " * 5_000_000), None, b"nonsense\r\n\r\n"):
            bench.cloud.say = lambda _, said=said: said
            await bench.delivery.deliver()
            assert bench.waiting == ["file-1"]
            assert bench.delivery.trouble


async def test_a_document_that_the_cloud_stumbles_over_keeps_no_other_from_it(tmp_path: Path) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(*map(document, range(8)))

        def stumble(request: Request) -> Answer:
            return answer(500, b"", content_type="text/plain") if request.body[0] - 48 < 4 else answer(200, TAKEN)

        bench.cloud.say = stumble
        await bench.delivery.deliver()
        assert len(bench.server.requests) == TROUBLES_MAX, "three one after the other is not the documents"
        await bench.delivery.deliver()
        assert bench.waiting == [f"file-{number}" for number in range(4)]
        bench.cloud.say = None
        await bench.delivery.deliver()
    assert (bench.waiting, bench.delivery.trouble) == ([], "")


async def test_a_source_of_which_too_much_is_refused_holds_up_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(document_queue, "REFUSED_MAX", 2)
    async with bench_in(tmp_path) as bench:
        bench.delivery = Delivery(settings(tmp_path, bench.server.url, SOURCE, "wms-b"), bench.queue, now_ms)
        bench.put(*map(document, range(5)), document(5, source="wms-b"))
        bench.server.respond = lambda one: problem(422, "no") if one.asked["source"] == SOURCE else answer(200, TAKEN)
        await bench.delivery.deliver()
        assert bench.waiting == ["file-2", "file-3", "file-4"]
        assert (bench.delivery.taken, bench.delivery.trouble) == (1, ""), "no trouble, after which all would wait"
        assert "2 documents of wms-la-3 are refused: see to" in bench.delivery.held
        asked = len(bench.server.requests)
        bench.put(document(5, source="wms-b"))
        await bench.delivery.deliver()
        assert (bench.delivery.taken, len(bench.server.requests)) == (2, asked + 1), "what is held is not asked about"
        for one in bench.queue.refused():
            (bench.queue.refused_folder / one.name).unlink()
        bench.server.respond = lambda _: answer(200, TAKEN)
        await bench.delivery.deliver()
    assert (bench.waiting, bench.delivery.held) == ([], "")
    assert caplog.text.count("room for what the cloud refuses lost") == 1


async def test_sources_that_the_cloud_does_not_know_or_that_cannot_sign_hold_up_no_other(tmp_path: Path) -> None:
    wrong = ("wms-a", "wms-b", "wms-c", "wms-d")
    async with bench_in(tmp_path) as bench:
        bench.delivery = Delivery(settings(tmp_path, bench.server.url, *wrong, SOURCE), bench.queue, now_ms)
        bench.put(*(document(number, source=one) for one in (*wrong, "wms-gone") for number in range(5)), document(9))
        bench.server.respond = lambda one: (
            answer(200, TAKEN) if one.asked["source"] == SOURCE else problem(401, "who is this?")
        )
        await bench.delivery.deliver()
        assert (bench.delivery.taken, len(bench.server.requests)) == (1, len(wrong) + 1)
        assert "no section of [documents] has it as source any more" in bench.delivery.trouble
        for name in bench.queue.waiting():
            if "wms-gone" in name:
                bench.queue.remove(name)
        await bench.delivery.deliver()
        assert bench.delivery.trouble == "wms-d: answers who is this?"
    assert len(bench.waiting) == len(wrong) * 5


async def test_a_cloud_that_is_busy_is_left_alone_for_as_long_as_it_asks(tmp_path: Path) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(*map(document, range(8)))
        bench.cloud.say = lambda _: answer(503, {"detail": "later"}, retry_after="77")
        assert await bench.delivery.deliver() == 77.0
        assert (len(bench.server.requests), bench.delivery.trouble) == (1, "answers later")


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (answer(200, b"<html>Welcome to the guest network</html>", content_type="text/html"), 1),
        (answer(302, location="/elsewhere"), 1),
        (problem(429, "slowly"), 1),
        (problem(503, "later"), 1),
        (problem(401, "who is this?"), 1),
        (problem(403, "not yours"), 1),
        (problem(404, "no such source"), TROUBLES_MAX),
        (answer(500, b"oh", content_type="text/plain"), TROUBLES_MAX),
    ],
)
async def test_what_would_be_said_to_every_document_is_asked_for_once(tmp_path: Path, said: Answer, asked: int) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(*map(document, range(5)))
        bench.cloud.say = lambda _: said
        await bench.delivery.deliver()
    assert len(bench.server.requests) == asked


async def test_what_is_no_character_is_in_nobodys_way(tmp_path: Path) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(document(1)._replace(name="caf\udce9\n.csv"))
        bench.cloud.say = lambda _: problem(404, "no \ud800")
        await bench.delivery.deliver()
        assert bench.delivery.trouble == "answers no \\ud800"
        bench.cloud.say = lambda _: problem(422, "no \ud800", "line 1: \ud800")
        await bench.delivery.deliver()
    assert bench.queue.refused()[0].reasons == [f"{SOURCE}, csv: caf\\udce9 .csv", "no \\ud800", "line 1: \\ud800"]


async def test_a_source_without_a_section_any_more_keeps_its_documents(tmp_path: Path) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(document(1, source="wms-gone"), document(2))
        await bench.delivery.deliver()
    assert bench.waiting == ["file-1"]
    assert bench.delivery.trouble.startswith("wms-gone: no section of [documents] has it as source any more")
    assert len(bench.cloud.taken) == 1


async def test_a_damaged_document_is_set_aside_and_never_sent(tmp_path: Path) -> None:
    async with bench_in(tmp_path) as bench:
        bench.put(document(1), document(2))
        path = bench.queue.waiting_folder / bench.queue.waiting()[0]
        path.write_bytes(path.read_bytes()[:-2] + b"9\n")
        await bench.delivery.deliver()
    assert [one.data for one in bench.cloud.taken] == [document(2).data]
    assert bench.queue.refused()[0].reasons[0].endswith("has changed on the disk")


async def test_nothing_is_asked_where_nothing_waits_and_no_cloud_is_a_trouble(tmp_path: Path) -> None:
    async with bench_in(tmp_path) as bench:
        await bench.delivery.deliver()
        assert bench.server.requests == []
    bench.put(document(1))
    await bench.delivery.deliver()
    assert bench.delivery.trouble.startswith("ConnectError")
    assert bench.waiting == ["file-1"]


def test_reasons_are_a_line_each_and_not_without_end() -> None:
    body = {"status": 422, "detail": "a\nb", "errors": [f"line {number}: x" for number in range(5_000)]}
    reply = Reply(422, {"content-type": "application/problem+json"}, json.dumps(body).encode())
    found = meaning(reply, 0.0)
    assert (found.word, found.reasons[:2], len(found.reasons)) == (Word.REFUSED, ("a b", "line 0: x"), 1_000)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cloud": "ftp://x"}, "write it as https"),
        ({"cloud": "https://x/?a=1"}, "has a question in it"),
        ({"drop": ()}, "say where documents come from"),
        ({"documents_max": 0}, "documents_max 0 is out of range"),
        ({"bytes_max": 5}, "bytes_max 5 is out of range"),
        ({"documents_max": 1, "drop": TWO}, "documents_max 1 leaves each of 2 sources no room for a document; 2 at"),
        ({"bytes_max": 2**25, "drop": TWO}, "bytes_max 33554432 leaves each of 2 sources no room .*; 33562624 at"),
    ],
)
def test_what_cannot_be_configured_is_refused_with_the_cure(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    usual = {"cloud": "https://cloud.example.org", "drop": settings(tmp_path, "https://x").drop}
    assert DocumentsSettings(**usual).secrets == {SOURCE: tmp_path / "secret"}  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=words):
        DocumentsSettings(**{**usual, **change})


def test_a_source_signs_with_one_secret_and_has_a_name_of_its_own(tmp_path: Path) -> None:
    (one,) = settings(tmp_path, "https://x").drop
    with pytest.raises(ValueError, match="two sections called 'wms-la-3'"):
        DocumentsSettings(cloud="https://x", drop=(one, one))
    other = DropSettings(
        source=SOURCE, name="edi", secret_file=Path("other"), folder=tmp_path, form=Form.X12, ending=".edi"
    )
    with pytest.raises(ValueError, match="a source signs with one"):
        DocumentsSettings(cloud="https://x", drop=(one, other))
