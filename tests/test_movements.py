"""Money that has moved: the API takes it into the book once, and the sandbox core tells of it until it is heard."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from api_cloud import TOKEN, ApiCloud
from banks import RELEASE, Bank, about_release, booked, event
from builders import NOON_MS, Device, book_document

from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import drafts, movements
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.collateral.loan import outstanding_minor
from pledgewatch_cloud.decide.item import BookError
from pledgewatch_cloud.journal.store import StoreError
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_sim.bank.movement_sender import MovementSender

PATH = "/facilities/facility-1/movements"
DRAWN = {"id": "out-1", "kind": "drawdown", "at": "2026-01-01T12:00:00Z", "amount_minor": 700}
REPAID = {"id": "back-1", "kind": "repayment", "at": "2026-01-01T12:30:00Z", "amount_minor": 200}
LATER_MS = NOON_MS + 3_600_000


class LoanCloud(ApiCloud):
    """A facility and what is said of its loan an hour past noon."""

    def __init__(self, folder: Path, **others: Any) -> None:
        super().__init__(folder, at_ms=LATER_MS, **others)
        self.spine.commit(drafts.amend, book_document(self.device))

    def post(self, *told: Any, path: str = PATH, **headers: str) -> httpx2.Response:
        """Tell of movements."""
        return self.client.post(path, json={"movements": list(told)}, headers=headers)

    @property
    def owed_minor(self) -> int:
        """What is owed on the facility; 5,000,000 in the book."""
        return outstanding_minor(self.spine.state.book.facilities["facility-1"], LATER_MS)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LoanCloud]:
    made = LoanCloud(tmp_path / "cloud")
    yield made
    made.close()


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    made = Bank(tmp_path / "bank")
    yield made
    made.ledger.close()


def test_the_loan_follows_what_is_told(cloud: LoanCloud) -> None:
    before = cloud.spine.state.entry
    assert cloud.post(DRAWN, REPAID).json() == {"entry": before + 1, "changed": True}
    assert cloud.owed_minor == 5_000_500
    assert recover(cloud.store).book.facilities == cloud.spine.state.book.facilities, "it is in the journal"
    (facility,) = cloud.client.get("/book").json()["facilities"]
    assert facility["movements"] == [DRAWN, REPAID]
    assert facility["borrower"] == "exporter", "whatever else the facility is, stays"


def test_what_is_known_changes_nothing(cloud: LoanCloud) -> None:
    cloud.post(REPAID)
    entry = cloud.spine.state.entry
    for told in ((REPAID,), ()):
        assert cloud.post(*told).json() == {"entry": None, "changed": False}
    same = {**REPAID, "at": "2026-01-01T20:30:00+08:00"}
    assert cloud.post(same).json()["changed"] is False, "the same moment, written otherwise"
    assert cloud.spine.state.entry == entry
    assert cloud.post(REPAID, DRAWN).json()["changed"] is True, "what is new among what is known"
    assert cloud.owed_minor == 5_000_500


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"movements": [DRAWN | {"amount_minor": 701}]}, "'out-1' is known as a drawdown of 700 at 2026-01-01T12:00"),
        ({"movements": [DRAWN | {"kind": "repayment"}]}, "body.movements: 'out-1' is known as a drawdown"),
        ({"movements": [REPAID, DRAWN | {"at": "2026-01-01T12:00:01Z"}]}, "give another movement an id of its own"),
        ({"movements": [REPAID, REPAID]}, "body.movements[1].id: 'back-1' comes twice"),
        ({"movements": [REPAID | {"amount_minor": 0}]}, "body.movements[0].amount_minor: 0 is not a whole number"),
        ({"movements": [REPAID | {"amount_minor": 2.0}]}, "body.movements[0].amount_minor: 2.0 is not"),
        ({"movements": [REPAID | {"kind": "gift"}]}, "body.movements[0].kind: 'gift' is none of drawdown, repayment"),
        ({"movements": [REPAID | {"at": "noon"}]}, "body.movements[0].at: 'noon' is not a time"),
        ({"movements": [REPAID | {"currency": "USD"}]}, "body.movements[0].currency: no such key"),
        ({"movements": [{"id": "a b"}]}, "body.movements[0].id: 'a b' is no id"),
        ({"movements": {}}, "body.movements: a list is needed"),
        ({}, "body.movements: is missing"),
        ({"movement": [REPAID]}, "body.movements: is missing"),
        ({"movements": [], "facility": "facility-2"}, "body.facility: no such key"),
        ([REPAID], "body: an object is needed, not list"),
        ({"movements": [REPAID | {"id": f"m-{n}"} for n in range(10_000)]}, "at most 10000; add older ones"),
        ({"movements": [DRAWN | {"id": "all", "amount_minor": 10**15}]}, "draw more than 10^15 minor units in all"),
    ],
)
def test_movements_that_cannot_be_meant_are_refused_whole(cloud: LoanCloud, document: Any, words: str) -> None:
    cloud.post(DRAWN)
    entry = cloud.spine.state.entry
    answer = cloud.client.post(PATH, json=document)
    assert answer.status_code == 422
    assert any(words in one for one in answer.json()["errors"]), answer.json()
    assert cloud.spine.state.entry == entry
    assert cloud.owed_minor == 5_000_700


def test_a_facility_that_there_is_not_is_said(cloud: LoanCloud) -> None:
    answer = cloud.post(DRAWN, path="/facilities/nobody/movements")
    assert answer.status_code == 404
    assert "there is no facility 'nobody'" in answer.json()["detail"]
    with pytest.raises(BookError, match="there is no facility 'nobody' in the book"):
        movements.moved(book_module.empty(), "nobody", {"movements": [DRAWN]})


def test_a_facility_with_a_slash_in_its_name_is_told_of_too(cloud: LoanCloud) -> None:
    (line,) = book_document(Device())["facilities"]
    cloud.spine.commit(drafts.amend, {"facilities": [{**line, "id": "bank/line-1"}]})
    assert cloud.post(DRAWN, path="/facilities/bank%2Fline-1/movements").json()["changed"] is True
    assert [one.id for one in cloud.spine.state.book.facilities["bank/line-1"].movements] == ["out-1"]


def test_who_tells_shows_the_token(tmp_path: Path) -> None:
    cloud = LoanCloud(tmp_path, token=TOKEN)
    del cloud.client.headers["authorization"]
    assert cloud.post(DRAWN).status_code == 401
    assert cloud.owed_minor == 5_000_000
    assert cloud.post(DRAWN, authorization=f"Bearer {TOKEN}").status_code == 200
    cloud.close()


def test_a_disk_that_takes_nothing_is_said(cloud: LoanCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(cloud.store, "append", full)
    assert cloud.post(DRAWN).status_code == 503
    assert cloud.owed_minor == 5_000_000


async def test_of_movements_told_at_once_none_is_lost(cloud: LoanCloud) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            told = {"movements": [DRAWN | {"id": f"out-{number}", "amount_minor": 1}]}
            group.create_task(cloud.writer.commit(drafts.move, "facility-1", told))
            group.create_task(cloud.writer.commit(drafts.move, "facility-1", told))
    assert cloud.owed_minor == 5_000_020
    assert len(cloud.spine.state.book.facilities["facility-1"].movements) == 20


Answering = Callable[[httpx2.Request], httpx2.Response]


@asynccontextmanager
async def sender_of(bank: Bank, answer: Answering, wait_s: float = 0.02) -> AsyncIterator[MovementSender]:
    """A sender whose pledgewatch answers so; it waits so long before it tells again."""
    transport = httpx2.MockTransport(answer)
    async with httpx2.AsyncClient(transport=transport, base_url="http://cloud") as client:
        yield MovementSender(bank.ledger, client, retry_first_s=wait_s, retry_max_s=2 * wait_s)


def draw(bank: Bank, number: int = 1, facility: str = "facility-1") -> None:
    """A release is booked."""
    one = about_release(number, "release_disbursement", release=f"journal.{facility}-{number}")
    booked(bank.ledger, {**one, "id": f"{facility}.{number}", "facility": facility})


def told_of(bank: Bank, facility: str = "facility-1") -> list[bool]:
    """Whether pledgewatch has heard of each movement."""
    return [one["told"] for one in bank.read()["facilities"][facility]["movements"]]


async def test_the_core_tells_until_it_is_heard(bank: Bank, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    draw(bank)
    requests: list[dict[str, Any]] = []
    answers = iter([httpx2.Response(503, text="away"), None, httpx2.Response(302), httpx2.Response(200)])

    def answer(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == PATH
        requests.append(json.loads(request.content))
        found = next(answers)
        if found is None:
            raise httpx2.ReadTimeout("nobody answers")
        return found

    faults = []
    async with sender_of(bank, answer) as sender:
        while not all(told_of(bank)):
            wait_s = await sender.tell()
            faults.append(bank.facility()["movements"][0]["fault"])
            await asyncio.sleep(wait_s or 0)
        assert await sender.tell() is None, "nothing is left to be told"
    assert faults == ["HTTP 503: away", "ReadTimeout: nobody answers", "HTTP 302: ", ""]
    (movement,) = requests[0]["movements"]
    assert movement == {
        "id": "drawdown:journal.facility-1-1",
        "kind": "drawdown",
        "at": "2026-01-01T00:00:00.000+00:00",
        "amount_minor": 2_500_000,
    }
    assert requests == [requests[0]] * 4, "the same each time"
    assert bank.counts()["movements_told"] == 1
    words = [one.getMessage() for one in caplog.records if one.name.endswith("movement_sender")]
    assert len(words) == 2, "said once when lost, once when back"


async def test_one_facilitys_trouble_holds_no_others(bank: Bank) -> None:
    for facility in ("a", "b/b"):
        draw(bank, 1, facility)
    paths = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.raw_path.decode())
        return httpx2.Response(404 if "/a/" in request.url.path else 201)

    async with sender_of(bank, answer, wait_s=300) as sender:
        await sender.tell()
        assert await sender.tell() is not None, "not again at once"
    assert paths == ["/facilities/a/movements", "/facilities/b%2Fb/movements"]
    assert (told_of(bank, "a"), told_of(bank, "b/b")) == ([False], [True])


async def test_many_are_told_in_their_order_some_at_a_time(bank: Bank) -> None:
    for number in range(1, 251):
        draw(bank, number)
    sizes: list[int] = []
    ids: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        told = json.loads(request.content)["movements"]
        sizes.append(len(told))
        ids.extend(one["id"] for one in told)
        return httpx2.Response(200)

    async with sender_of(bank, answer) as sender:
        while await sender.tell() is not None:
            pass
    assert sizes == [100, 100, 50]
    assert ids == [f"drawdown:journal.facility-1-{number}" for number in range(1, 251)]


async def test_the_sender_wakes_when_money_moves(bank: Bank) -> None:
    heard = asyncio.Event()

    def answer(_: httpx2.Request) -> httpx2.Response:
        heard.set()
        return httpx2.Response(200)

    async with sender_of(bank, answer) as sender:
        running = asyncio.create_task(sender.run())
        await asyncio.sleep(0.05)
        draw(bank)
        sender.wake()
        async with asyncio.timeout(60):
            await heard.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_loans_agree_at_both_ends_though_answers_are_lost(cloud: LoanCloud, bank: Bank) -> None:
    booked(bank.ledger, about_release(1, "release_disbursement"))
    bank.ledger.open_facility("facility-1", "USD", 5_000_000)
    for number, amount_minor in enumerate([1_000_000, 300_000, 9_000_000]):
        sale = {"id": f"sale-{number}", "facility": "facility-1", "amount_minor": amount_minor}
        assert bank.post("/repayments", sale).status_code == 200
    booked(bank.ledger, event(2))
    booked(bank.ledger, about_release(3, "release_disbursement", release=f"{RELEASE}-2", amount_minor=42))
    lost = iter([True, False])

    async def through(request: httpx2.Request) -> httpx2.Response:
        inner = httpx2.ASGITransport(cloud.client.app)
        async with httpx2.AsyncClient(transport=inner, base_url="http://127.0.0.1:8420") as client:
            headers = {name: value for name, value in request.headers.items() if name != "host"}
            answer = await client.post(request.url.path, content=request.content, headers=headers)
        return httpx2.Response(504) if next(lost) else httpx2.Response(answer.status_code, text=answer.text)

    async with httpx2.AsyncClient(transport=httpx2.MockTransport(through), base_url="http://cloud") as client:
        sender = MovementSender(bank.ledger, client, retry_first_s=0.01, retry_max_s=0.01)
        async with asyncio.timeout(60):
            while (wait_s := await sender.tell()) is not None:
                await asyncio.sleep(wait_s)
    assert all(told_of(bank))
    assert bank.facility()["outstanding_minor"] == cloud.owed_minor == 42
    assert bank.facility()["surplus_minor"] == 2_800_000
    assert len(cloud.spine.state.book.facilities["facility-1"].movements) == 5


def test_a_facility_that_is_amended_without_a_word_of_movements_keeps_them() -> None:
    before = book_module.amend(book_module.empty(), book_document(Device()))
    facility = book_document(Device())["facilities"][0]
    moved = book_module.amend(before, {"facilities": [facility | {"movements": [DRAWN, REPAID]}]})
    after = book_module.amend(moved, {"facilities": [facility | {"limit_minor": 9}]})
    assert [one.id for one in after.facilities["facility-1"].movements] == ["out-1", "back-1"]
    assert after.facilities["facility-1"].limit_minor == 9
    cleared = book_module.amend(after, {"facilities": [facility | {"movements": []}]})
    assert cleared.facilities["facility-1"].movements == ()


def test_an_entry_holds_what_was_told_and_not_all_that_was_told_before(cloud: LoanCloud) -> None:
    for number in range(40):
        cloud.post({**DRAWN, "id": f"out-{number}"})
    sizes = [len(one.body) for one in cloud.store.entries()][-40:]
    assert max(sizes) - min(sizes) <= 2, "one digit more of an id"
    assert len(cloud.spine.state.book.facilities["facility-1"].movements) == 40
    assert state_module.digest(recover(cloud.store)) == state_module.digest(cloud.spine.state)
