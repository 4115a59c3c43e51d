"""`pledgewatch-cloud receipts`: keys, acts at a running service, and credentials verified offline."""

import asyncio
import contextlib
import json
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from jwcrypto import jwk as other_jwk
from jwcrypto.jws import JWS, InvalidJWSSignature
from receipting import BANK, BUYER, DEPOSITOR, NOON_MS, RECEIVED, WAREHOUSE
from registering import HAD, ReceiptCloud, line

from pledgewatch_cloud import signing_key
from pledgewatch_cloud.__main__ import main
from pledgewatch_cloud.config import CloudSettings
from pledgewatch_cloud.decide import drafts, jose
from pledgewatch_cloud.decide.moments import iso
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_cloud.doctor import examine
from pledgewatch_cloud.receipts.signer import signer
from pledgewatch_cloud.receipts.verify import verify
from pledgewatch_sim.programs import free_port
from pledgewatch_wire.settings import load

FIRST = f"{WAREHOUSE}:0001"
NOW, UNTIL = iso(NOON_MS), "2027-01-01T00:00:00Z"
SIGNERS = (WAREHOUSE, DEPOSITOR, BUYER, BANK)


@contextlib.contextmanager
def served(register: ReceiptCloud) -> Iterator[str]:
    """The API at an address of this machine."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(register.client.app, host="127.0.0.1", port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


class Desk:
    """The command line of everybody who signs, each with a key of its own in a file, beside a running service."""

    def __init__(self, folder: Path, register: ReceiptCloud, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.register, self.url, self._capsys = folder, register, url, capsys

    def says(self, *arguments: str | Path, code: int = 0) -> tuple[str, str]:
        """What the command says, on both ways out."""
        assert main(["receipts", *map(str, arguments)]) == code, self._capsys.readouterr().err
        return self._capsys.readouterr()

    def key(self, party: str) -> Path:
        """The file of a party's private key."""
        return self.folder / f"{party}.key"

    def act(self, by: str, kind: str, receipt: str, *more: str | Path, code: int = 0) -> Any:
        """An act is built, signed and handed in: the receipt after it; or what was said against it."""
        common = (kind, receipt, "--by", by, "--key", self.key(by), "--url", self.url, "--at", NOW)
        out, err = self.says(*common, *more, code=code)
        return json.loads(out)["receipt"] if code == 0 else err

    def issue(self, name: str = FIRST) -> Any:
        """A receipt of goods in a bin of its own."""
        place = name.rpartition(":")[2]
        self.register.stock(place)
        return self.act(WAREHOUSE, "issue", name, *self.goods(place))

    def goods(self, place: str, **more: Any) -> tuple[str | Path, ...]:
        """The options of goods in a bin."""
        path = self.folder / f"{place}.json"
        path.write_text(json.dumps([line(place, **more)]), encoding="utf-8")
        window = ("--received-from", RECEIVED["from"], "--received-until", RECEIVED["until"])
        return ("--depositor", DEPOSITOR, "--goods", path, *window, "--until", UNTIL)

    def written(self, what: str, *more: str) -> Path:
        """What the service gives out, in a file."""
        path = self.folder / f"{what}.out"
        self.says(what, *more, "--url", self.url, "--out", path)
        return path

    def verified(self, path: Path, *, code: int = 0, at: str = NOW) -> tuple[Any, list[str]]:
        """What `verify` says of a file with the key and the newest lists: what was signed, and what is wrong."""
        lists = ("--status-list", self.written("status-list"))
        out, err = self.says("verify", path, "--issuer", self.written("issuer"), *lists, "--at", at, code=code)
        return json.loads(out) if out else None, err.splitlines()


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    register = ReceiptCloud(
        tmp_path / "data", signer=signer(signing_key.create(tmp_path / "issuer.key"), "http://here")
    )
    try:
        with served(register) as url:
            made = Desk(tmp_path, register, url, capsys)
            parties = []
            for one in SIGNERS:
                public = json.loads(made.says("key", "new", made.key(one))[0])
                assert made.says("key", "public", made.key(one))[0] == json.dumps(public) + "\n"
                parties.append({"id": one, "name": one, "keys": [{"kid": public["kid"], "x": public["x"]}]})
            register.cloud.spine.commit(drafts.amend, {"parties": parties})
            yield made
    finally:
        register.close()


# A life.


def test_a_receipt_lives_from_its_issue_to_its_delivery(desk: Desk) -> None:
    desk.register.stock("0001")
    assert desk.act(WAREHOUSE, "draft", FIRST, *desk.goods("0001"))["state"] == "drafted"
    assert desk.act(WAREHOUSE, "issue", FIRST)["state"] == "issued"
    assert desk.act(DEPOSITOR, "transfer", FIRST, "--to", BUYER)["holder"] == BUYER
    assert desk.act(BUYER, "pledge", FIRST, "--pledgee", BANK)["controller"] == BANK
    assert desk.act(BANK, "release", FIRST, "--quantities", "10000")["state"] == "partly_released"
    assert desk.act(BUYER, "surrender", FIRST)["goods"][0]["ordered_milli"] == 10_000
    assert desk.act(WAREHOUSE, "deliver", FIRST)["goods"][0]["quantity_milli"] == 30_000
    assert desk.act(BANK, "freeze", FIRST, "--reason", "a count is under way")["state"] == "frozen"
    assert desk.act(BANK, "thaw", FIRST, "--reason", "all is there")["state"] == "partly_released"
    assert desk.act(BANK, "release", FIRST)["state"] == "released"
    split = desk.act(BUYER, "split", FIRST, "--part", "10000", "--part", "20000")
    assert split["children"] == [f"{FIRST}.1", f"{FIRST}.2"]
    assert desk.act(BUYER, "lose", f"{FIRST}.1", "--reason", "gone")["state"] == "lost"
    replaced = ("replace", f"{FIRST}.1", "--replacement", f"{WAREHOUSE}:new", "--reason", "gone")
    assert desk.act(WAREHOUSE, *replaced)["replaced_by"] == f"{WAREHOUSE}:new"
    assert desk.act(BUYER, "cancel", f"{WAREHOUSE}:new", "--reason", "not needed")["state"] == "cancelled"
    desk.act(BUYER, "surrender", f"{FIRST}.2")
    assert desk.act(WAREHOUSE, "deliver", f"{FIRST}.2")["state"] == "delivered"

    shown = json.loads(desk.says("show", FIRST, "--url", desk.url)[0])
    assert (shown["state"], shown["acts"]) == ("split", 11)
    acts = [json.loads(one) for one in desk.says("acts", FIRST, "--url", desk.url)[0].splitlines()]
    assert [one["act"] for one in acts[:4]] == ["draft", "issue", "transfer", "pledge"]
    assert len(acts) == shown["acts"]
    assert acts[-1]["head"] == shown["head"]
    listed = [json.loads(one) for one in desk.says("list", "--state", "delivered", "--url", desk.url)[0].splitlines()]
    assert [one["id"] for one in listed] == [f"{FIRST}.2"]


def test_other_goods_are_put_in_the_place_of_a_receipts_with_consent(desk: Desk) -> None:
    desk.issue()
    desk.act(DEPOSITOR, "pledge", FIRST, "--pledgee", BANK)
    desk.register.stock("0002")
    goods = desk.goods("0002")[2:8]  # without depositor and end, which stay
    why = ("--reason", "the first were wet")
    assert f"add a consent that {BANK} has signed" in desk.act(WAREHOUSE, "substitute", FIRST, *goods, *why, code=1)

    says, consent = desk.folder / "act.json", desk.folder / "consent.txt"
    common = ("substitute", FIRST, "--by", WAREHOUSE, "--url", desk.url, "--at", NOW)
    says.write_text(desk.says(*common, *goods, *why, "--unsigned")[0], encoding="utf-8")
    consent.write_text(desk.says("consent", says, "--by", BANK, "--key", desk.key(BANK))[0], encoding="utf-8")
    signed = ("sign", says, "--key", desk.key(WAREHOUSE), "--consent", consent)
    text = desk.says(*signed)[0].strip()
    assert json.loads(jose.read(text).payload)["consents"] == [consent.read_text(encoding="utf-8").strip()]
    receipt = json.loads(desk.says(*signed, "--url", desk.url)[0])["receipt"]
    assert (receipt["goods"][0]["bin"], receipt["state"]) == ("0002", "pledged")
    assert json.loads(desk.says(*signed, "--url", desk.url)[0])["changed"] is False  # the same again is no second act


def test_an_act_can_be_signed_and_kept(desk: Desk) -> None:
    desk.issue()
    entries = desk.register.entries
    common = ("transfer", FIRST, "--by", DEPOSITOR, "--key", desk.key(DEPOSITOR), "--at", NOW, "--to", BUYER, "--keep")
    text = desk.says(*common, "--url", desk.url)[0].strip()
    assert desk.register.entries == entries
    after = ("--after", desk.register.get(FIRST).head, "--url", "http://127.0.0.1:1")  # nobody is asked
    assert desk.says(*common, *after)[0].strip() == text
    assert desk.register.post(text).json()["receipt"]["holder"] == BUYER


def test_a_receipt_begins_in_the_register_of_the_service_or_in_one_that_is_named(desk: Desk) -> None:
    common = ("draft", FIRST, "--by", WAREHOUSE, "--at", NOW, *desk.goods("0001"), "--unsigned")
    says = json.loads(desk.says(*common, "--url", desk.url)[0])
    assert says["register"] == register_of(desk.register.cloud.spine.state.journal)
    named = json.loads(desk.says(*common, "--register", "ab12", "--url", "http://127.0.0.1:1")[0])  # nobody is asked
    assert named["register"] == "ab12"


# What stands against it.


def test_a_refusal_is_told_with_its_cure(desk: Desk) -> None:
    desk.issue()
    told = desk.act(BUYER, "transfer", FIRST, "--to", DEPOSITOR, code=1)
    assert told == (
        f"{BUYER} has no part in a receipt {FIRST}; name a receipt that you issued, hold or have as a pledge; "
        "a warehouse begins one as <warehouse>:<name>\n"
    )
    told = desk.act(DEPOSITOR, "transfer", FIRST, "--to", BUYER, "--kid", "other", code=1)
    assert told.startswith(f"{DEPOSITOR} has no key called other in the book")
    told = desk.act(DEPOSITOR, "transfer", FIRST, "--to", BUYER, "--after", "ab" * 32, code=1)
    assert told.startswith(f"another act on {FIRST} came first")
    assert "there is no receipt" in desk.says("show", f"{WAREHOUSE}:9", "--url", desk.url, code=1)[1]


def test_what_cannot_be_asked_so_is_told(desk: Desk) -> None:
    desk.issue()
    keyed = ("--by", DEPOSITOR, "--url", desk.url, "--key", desk.key(DEPOSITOR))
    assert "--key is missing" in desk.says("transfer", FIRST, "--by", DEPOSITOR, "--url", desk.url, code=2)[1]
    assert desk.says("transfer", FIRST, *keyed, code=2)[1] == "transfer: to is missing; transfer says to\n"
    assert "'4,x': write a whole number in thousandths" in desk.says("split", FIRST, *keyed, "--part", "4,x", code=2)[1]
    assert "cannot be read" in desk.says("issue", FIRST, *keyed, "--goods", desk.folder / "none", code=2)[1]
    (desk.folder / "no.json").write_text('{"a": 1, "a": 2}', encoding="utf-8")
    assert "is no JSON that can be taken" in desk.says("sign", desk.folder / "no.json", *keyed[-2:], code=2)[1]
    away = desk.says("show", FIRST, "--url", "http://127.0.0.1:1", code=2)[1]
    assert "http://127.0.0.1:1/receipts/la-1%3A0001 does not answer" in away
    assert "start the service, or name its --url" in away


def test_a_private_key_is_never_written_over_nor_left_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "party.key"
    assert main(["receipts", "key", "new", str(path)]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"crv", "kid", "kty", "x"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    assert main(["receipts", "key", "new", str(path)]) == 2
    assert "a key is never written over" in capsys.readouterr().err
    assert path.read_bytes() == before
    path.chmod(0o644)
    assert main(["receipts", "key", "public", str(path)]) == 2
    assert "other users may read the signing key; run chmod 600 on it" in capsys.readouterr().err
    assert main(["receipts", "key", "new", str(tmp_path / "no" / "folder.key")]) == 2
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


# Verifying.


def test_a_credential_and_its_sheet_hold_until_the_receipt_is_cancelled(desk: Desk) -> None:
    desk.issue()
    token, sheet = desk.written("credential", FIRST), desk.written("sheet", FIRST)
    for path in (token, sheet):
        said, why = desk.verified(path)
        assert why == []
        assert (said["id"], said["holder"], said["goods"][0]["quantity_milli"]) == (FIRST, DEPOSITOR, HAD)
    other = JWS()
    key = other_jwk.JWK.from_json(desk.written("issuer").read_text(encoding="utf-8"))
    other.deserialize(token.read_text(encoding="utf-8"), key)
    assert json.loads(other.payload)["credentialSubject"]["receipt"] == FIRST

    desk.act(DEPOSITOR, "cancel", FIRST, "--reason", "it is no longer needed")
    for path in (token, sheet):
        said, why = desk.verified(path, code=1)
        assert why == [f"{path}: it is revoked: the receipt has ended, or is no longer what this says"]
        assert said["id"] == FIRST


def test_a_credential_is_revoked_when_the_goods_are_delivered_and_suspended_while_frozen(desk: Desk) -> None:
    desk.issue()
    token = desk.written("credential", FIRST)
    desk.act(WAREHOUSE, "freeze", FIRST, "--reason", "a count is under way")
    assert desk.verified(token, code=1)[1] == [f"{token}: it is suspended: the receipt is frozen or reported lost"]
    desk.act(WAREHOUSE, "thaw", FIRST, "--reason", "all is there")
    assert desk.verified(token)[1] == []
    desk.act(DEPOSITOR, "surrender", FIRST)
    desk.act(WAREHOUSE, "deliver", FIRST)
    assert "it is revoked" in desk.verified(token, code=1)[1][0]


def test_a_credential_of_which_any_one_byte_is_another_is_refused(desk: Desk) -> None:
    desk.issue()
    token, issuer, lists = (desk.written(*what) for what in (("credential", FIRST), ("issuer",), ("status-list",)))
    whole, key = token.read_bytes(), issuer.read_text(encoding="utf-8")
    status = lists.read_text(encoding="utf-8")
    other_key = other_jwk.JWK.from_json(key)
    assert verify(whole, key, status, NOON_MS).ok
    changed = desk.folder / "changed.jwt"
    for place in range(len(whole)):
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        assert not verify(flipped, key, status, NOON_MS).ok, place
        if place % 100 == 0:
            changed.write_bytes(flipped)
            options = ("--issuer", issuer, "--status-list", lists, "--at", NOW)
            out, err = desk.says("verify", changed, *options, code=1)
            assert out == ""
            assert err.startswith(f"{changed}: ")
    # The other implementation finds the same wrong of a byte of the payload.
    place = whole.index(b".") + 20
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    with pytest.raises(InvalidJWSSignature):
        JWS().deserialize(flipped.decode(), other_key)


def test_without_a_list_of_today_nothing_is_believed(desk: Desk) -> None:
    desk.issue()
    token, issuer, lists = (desk.written(*what) for what in (("credential", FIRST), ("issuer",), ("status-list",)))
    err = desk.says("verify", token, "--issuer", issuer, "--at", NOW, code=1)[1]
    assert "no status list was given, so whether it is revoked or suspended cannot be told" in err
    options = ("--issuer", issuer, "--status-list", lists, lists)
    tomorrow = iso(NOON_MS + 86_400_000)
    assert "it is too old, get a new one" in desk.says("verify", token, *options, "--at", tomorrow, code=1)[1]
    later = iso(NOON_MS + 3_600_000)
    assert desk.says("verify", token, *options, "--at", later)[1] == ""
    aged = ("--at", later, "--list-age-max-s", "60")
    assert "it is too old for you, get a new one" in desk.says("verify", token, *options, *aged, code=1)[1]


def test_what_cannot_be_verified_with_is_said(desk: Desk) -> None:
    desk.issue()
    token = desk.written("credential", FIRST)
    private = desk.folder / "private.json"
    private.write_text('{"crv":"Ed25519","d":"AA","kty":"OKP","x":"AA"}', encoding="ascii")
    assert "this is a private key" in desk.says("verify", token, "--issuer", private, code=2)[1]
    assert "cannot be read" in desk.says("verify", token, "--issuer", desk.folder / "none", code=2)[1]
    issuer = desk.written("issuer")
    assert "--at" in desk.says("verify", token, "--issuer", issuer, "--at", "noon", code=2)[1]
    assert "cannot be read" in desk.says("verify", desk.folder / "none", "--issuer", issuer, code=2)[1]
    (desk.folder / "goods.txt").write_text("40 sofas", encoding="ascii")
    assert "it is no signed credential" in desk.says("verify", desk.folder / "goods.txt", "--issuer", issuer, code=1)[1]


# The issuer's key.


def settings_file(folder: Path, text: str) -> Path:
    path = folder / "cloud.toml"
    path.write_text(f'[service]\ndata_folder = "data"\n[broker]\nembedded = true\n[receipts]\n{text}', encoding="ascii")
    return path


ISSUED_AT = 'issuer_key_file = "issuer.key"\nbase_url = "https://register.example"\n'


def test_check_and_doctor_know_the_issuers_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = settings_file(tmp_path, ISSUED_AT)
    check = ["run", "--config", str(path), "--check"]
    assert main(check) == 0
    assert (
        f"before it is run: [receipts] issuer_key_file: {tmp_path}/issuer.key cannot be read" in capsys.readouterr().out
    )
    signing_key.create(tmp_path / "issuer.key")
    assert main(check) == 0
    assert capsys.readouterr().out == f"{path}: can be used\n"
    settings = load(path, CloudSettings)
    assert _issuer_in(settings).startswith("True did:jwk:")
    (tmp_path / "issuer.key").chmod(0o640)
    assert main(check) == 0
    said = (
        f"[receipts] issuer_key_file: {tmp_path}/issuer.key: other users may read the signing key; run chmod 600 on it"
    )
    assert f"before it is run: {said}" in capsys.readouterr().out
    assert _issuer_in(settings) == f"False {said}"


def _issuer_in(settings: CloudSettings) -> str:
    (found,) = (one for one in asyncio.run(examine(settings)) if one.what == "issuer")
    return f"{found.is_well} {found.text}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('base_url = "https://register.example"\n', "issuer_key_file goes with base_url; set both, or neither"),
        ('issuer_key_file = "issuer.key"\n', "issuer_key_file goes with base_url; set both, or neither"),
        (ISSUED_AT.replace("example", "example/"), "is no address to issue under; one is like https://"),
    ],
)
def test_half_an_issuer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    assert main(["run", "--config", str(settings_file(tmp_path, text)), "--check"]) == 2
    assert said in capsys.readouterr().err
