"""`cases` and `counts`: what does not fit, by the journal; counts that are filled in, signed and handed in."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
from api_cloud import client_over
from builders import MINUTE_MS, NOON_MS
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from keeping import SKU, Keeping, sofas
from receipting import BANK, DEPOSITOR, FIRST, WAREHOUSE
from warehouses import KEYS, SURVEYOR

from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.decide import jose
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.warehouse import counting
from pledgewatch_cloud.journal.sqlite import SqliteStore
from pledgewatch_cloud.series.embedded import EmbeddedSeries
from pledgewatch_cloud.spine.writer import Writer

URL = "http://127.0.0.1:8420"
AT = iso(NOON_MS + MINUTE_MS)
CASE = (
    f"case-1: open, risk 65: stock_below_receipts {DEPOSITOR} {SKU} piece in {WAREHOUSE}: "
    "10000 of 40000 thousandths missing, count due 2026-01-02T13:01:00Z"
)


class Site:
    """A folder with a journal in which goods are missing, keys and photographs, and the service over it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.data = folder, folder / "data"
        self.data.mkdir()
        self.store = SqliteStore(self.data)
        self.keeping = keeping = Keeping(store=self.store)
        keeping.row("received", 40)
        keeping.pledged(FIRST, sofas(40))
        keeping.at(1).row("sold", 10, minute=1)
        self.series = EmbeddedSeries(self.data, self.store.journal)
        self.client = client_over(
            self.store, Writer(keeping.spine, lambda _: None), self.series, clock=keeping.clock, token="not-a-secret"
        )
        self.is_there = True
        monkeypatch.setattr(httpx2, "Client", lambda **_: self)
        self.photo = self.write("photo.jpg", "a photograph")
        self.key_of(SURVEYOR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def request(self, method: str, url: str, **named: Any) -> httpx2.Response:
        """What the command asks of the service."""
        if not self.is_there:
            raise httpx2.ConnectError("refused")
        answer: httpx2.Response = self.client.request(method, url.removeprefix(URL), **named)
        return answer

    def close(self) -> None:
        """Let go of the files."""
        self.series.close()
        self.store.close()

    def write(self, name: str, text: str) -> Path:
        """A file."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def key_of(self, party: str) -> Path:
        """A party's private key in a file."""
        pem = KEYS[party].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path = self.write(f"{party}.pem", pem.decode())
        path.chmod(0o600)
        return path

    def form(self, units: int | None = 40, **changes: Any) -> Path:
        """A count that is filled in."""
        row = {"owner": DEPOSITOR, "sku": SKU, "bin": "A-01", "unit": "piece"}
        quantity = None if units is None else 1_000 * units
        said = {"count": "case-1", "warehouse": WAREHOUSE, "by": SURVEYOR, "at": AT, "photos": []}
        return self.write(
            f"count-{units}.json", json.dumps({**said, "rows": [{**row, "quantity_milli": quantity}], **changes})
        )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path, monkeypatch)
    yield made
    made.close()


Captured = pytest.CaptureFixture[str]


def ran(capsys: Captured, *arguments: object) -> tuple[int, str, str]:
    """The exit code, and what was printed."""
    code = main([str(one) for one in arguments])
    told = capsys.readouterr()
    return code, told.out, told.err


def signing(site: Site, *more: object, key: Path | None = None, form: Path | None = None) -> tuple[object, ...]:
    key_file = key or site.folder / f"{SURVEYOR}.pem"
    return "counts", "sign", form or site.form(), "--key", key_file, "--kid", "k1", "--photo", site.photo, *more


def test_cases_are_listed_a_line_each(site: Site, capsys: Captured) -> None:
    for command in ("cases", "counts"):
        assert ran(capsys, command, "list", "--data", site.data) == (0, f"{CASE}\n", "")
        assert ran(capsys, command, "list", "--data", site.data, "--warehouse", WAREHOUSE) == (0, f"{CASE}\n", "")
        assert ran(capsys, command, "list", "--data", site.data, "--warehouse", "la-2") == (0, "", "")
    site.keeping.at(2).count(("A-01", 40))
    assert ran(capsys, "cases", "list", "--data", site.data) == (0, "", "")
    ended = CASE.replace("open", "counted").partition(", count due")[0]
    assert ran(capsys, "cases", "list", "--data", site.data, "--closed") == (0, f"{ended}\n", "")


def test_a_case_is_shown_as_the_api_tells_it(site: Site, capsys: Captured) -> None:
    code, said, _ = ran(capsys, "cases", "show", "case-1", "--data", site.data)
    assert code == 0
    assert json.loads(said) == site.client.get("/warehouses/cases/case-1").json()
    for command in (("cases", "show", "case-7"), ("counts", "form", "case-7", "--by", SURVEYOR)):
        code, said, told = ran(capsys, *command, "--data", site.data)
        assert (code, said) == (2, "")
        assert "there is no case 'case-7'" in told


def test_a_form_is_printed_filled_in_signed_and_handed_in(site: Site, capsys: Captured) -> None:
    code, said, _ = ran(capsys, "counts", "form", "case-1", "--by", SURVEYOR, "--data", site.data)
    assert code == 0
    form = json.loads(said)
    assert form["rows"] == [{"owner": DEPOSITOR, "sku": SKU, "bin": "A-01", "unit": "piece", "quantity_milli": None}]
    form["rows"][0]["quantity_milli"] = 40_000
    path = site.write("form.json", json.dumps(form | {"at": AT}))
    code, text, told = ran(capsys, *signing(site, form=path))
    assert (code, told) == (0, "")
    count = counting.read(text.strip())
    assert (count.case, count.by, count.kid) == ("case-1", SURVEYOR, "k1")
    assert count.photos == (sha256(b"a photograph").hexdigest(),)
    signed = site.write("count.jws", text)
    site.keeping.at(2)
    code, said, told = ran(capsys, "counts", "hand-in", signed)
    assert (code, told, json.loads(said)["ended"]) == (0, "", ["case-1"])
    assert ran(capsys, "cases", "list", "--data", site.data) == (0, "", "")
    code, said, _ = ran(capsys, "counts", "hand-in", signed, "--url", URL)
    assert (code, json.loads(said)["changed"]) == (0, False)


def test_a_count_is_signed_and_handed_in_at_once(site: Site, capsys: Captured) -> None:
    code, said, told = ran(capsys, *signing(site, "--url", URL))
    assert (code, told) == (0, "")
    assert json.loads(said)["changed"]
    assert site.keeping.spine.state.watch.open_cases() == []


def test_photographs_are_added_to_those_that_are_named(site: Site, capsys: Captured) -> None:
    form = site.form(photos=["ab" * 32])
    code, text, _ = ran(capsys, *signing(site, form=form))
    assert code == 0
    assert counting.read(text.strip()).photos == ("ab" * 32, sha256(b"a photograph").hexdigest())


def test_several_photographs_may_be_named_together_or_one_by_one(site: Site, capsys: Captured) -> None:
    others = [site.write(f"{name}.jpg", name) for name in ("b", "c", "d")]
    code, text, _ = ran(capsys, *signing(site, others[0], "--photo", *others[1:]))
    assert code == 0
    assert counting.read(text.strip()).photos == tuple(
        sha256(said).hexdigest() for said in (b"a photograph", b"b", b"c", b"d")
    )


@pytest.mark.parametrize("at", [None, ""])
def test_a_count_that_says_no_time_was_counted_now(site: Site, capsys: Captured, at: str | None) -> None:
    code, text, _ = ran(capsys, *signing(site, form=site.form(at=at)))
    assert code == 0
    assert counting.read(text.strip()).at_ms > NOON_MS


def test_a_key_that_is_given_no_name_is_called_by_what_follows_from_it(site: Site, capsys: Captured) -> None:
    key = site.folder / f"{SURVEYOR}.pem"
    code, text, _ = ran(capsys, "counts", "sign", site.form(photos=["ab" * 32]), "--key", key)
    assert code == 0
    _, public, _ = ran(capsys, "receipts", "key", "public", key)
    assert jose.read(text.strip()).header["kid"] == json.loads(public)["kid"]


def test_what_cannot_be_signed_is_told_and_nothing_is_handed_in(site: Site, capsys: Captured) -> None:
    before = site.keeping.spine.state.entry
    gone = site.folder / "gone"
    for arguments, why in (
        (signing(site, "--url", URL, form=site.form(None)), "rows[0].quantity_milli: None is no whole number"),
        (signing(site, "--url", URL, form=gone), "cannot be read"),
        (signing(site, "--url", URL, form=site.write("x.json", "[]")), "x.json: a count is a JSON object"),
        (signing(site, "--url", URL, form=site.write("y.json", "{")), "is no JSON that can be taken"),
        (signing(site, "--url", URL, key=gone), "gone: cannot be read"),
        (signing(site, "--url", URL, "--photo", gone), "gone cannot be read: No such file"),
        (("counts", "hand-in", gone), "gone cannot be read"),
        (("counts", "hand-in", site.write("empty.jws", " \n")), "empty.jws is empty; name the file that"),
        (("counts", "hand-in", site.write("x.jws", "Prüfung")), "x.jws cannot be read"),
    ):
        code, said, told = ran(capsys, *arguments)
        assert (code, said) == (2, ""), told
        assert why in told
    assert site.keeping.spine.state.entry == before


def test_what_the_service_refuses_is_told_with_its_cure(site: Site, capsys: Captured) -> None:
    form = site.form(by=BANK)
    code, said, told = ran(capsys, *signing(site, "--url", URL, form=form, key=site.key_of(BANK)))
    assert (code, said) == (1, "")
    assert "bank-one may not count in la-1: its inspectors are surveyor; have one of them count" in told


def test_a_service_that_is_away_is_told(site: Site, capsys: Captured) -> None:
    site.is_there = False
    code, said, told = ran(capsys, *signing(site, "--url", URL))
    assert (code, said) == (2, "")
    assert f"{URL}/warehouses/counts does not answer (refused); start the service, or name its --url" in told
