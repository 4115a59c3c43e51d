"""Receipts over the API: from issue to delivery, acts that may not be, who is told of what, credentials and lists."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import warehouses
from api_cloud import TOKEN, assert_problem
from builders import Device
from extracts import ISSUER, JWK, KEY
from jwcrypto import jwk as other_jwk
from jwcrypto.jws import JWS
from receipting import (
    AFFILIATE,
    BANK,
    BUYER,
    DEPOSITOR,
    OTHER_BANK,
    OTHER_WAREHOUSE,
    STRANGER,
    WAREHOUSE,
    signed,
    stated,
)
from registering import HAD, JOSE, STEPS, ReceiptCloud, body_of, line

from pledgewatch_cloud.decide import drafts, jose
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.receipts.act import ActKind
from pledgewatch_cloud.decide.receipts.life import LIFE
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.receipts.register import register_of
from pledgewatch_cloud.receipts.signer import Signer
from pledgewatch_cloud.receipts.verify import Verdict, verify
from pledgewatch_cloud.spine.spine import recover
from pledgewatch_wire.reading import Cell, Channel, tag_number

FIRST, SECOND = f"{WAREHOUSE}:0001", f"{WAREHOUSE}:0002"
REVOKED = "it is revoked: the receipt has ended, or is no longer what this says"
SUSPENDED = "it is suspended: the receipt is frozen or reported lost"


@pytest.fixture
def register(tmp_path: Path) -> Iterator[ReceiptCloud]:
    made = ReceiptCloud(tmp_path, signer=Signer(ISSUER, KEY))
    yield made
    made.close()


def at(name: str, what: str = "") -> str:
    return f"/receipts/{quote(name, safe='')}{what}"


def credential(register: ReceiptCloud, name: str = FIRST) -> str:
    answer = register.client.get(at(name, "/credential"))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/vc+jwt"), answer.text
    return answer.text


def verdict(register: ReceiptCloud, file: str | bytes) -> Verdict:
    """What a verifier says who has been given the file, the key, and the newest lists."""
    return verify(file, JWK, register.client.get("/receipts/status-lists/0").text, register.now_ms)


def assert_refused(register: ReceiptCloud, text: str, status: int = 422) -> dict[str, Any]:
    """A text is refused with a reason and a cure, and nothing of that is in the journal."""
    entries, before = register.entries, state_module.digest(register.cloud.spine.state)
    found = assert_problem(register.post(text), status)
    assert found["why"]
    assert found["cure"]
    assert found["detail"].startswith(f"{found['why']}; {found['cure']}")
    assert (register.entries, state_module.digest(register.cloud.spine.state)) == (entries, before)
    assert register.cloud.store.quarantined() == []
    return found


# A life.


def test_a_receipt_lives_from_its_issue_to_its_delivery_and_all_of_it_is_in_the_journal(register: ReceiptCloud) -> None:
    texts = []

    def do(by: str, kind: str, **body: Any) -> dict[str, Any]:
        texts.append(register.text(by, kind, FIRST, **body))
        answer = register.post(texts[-1])
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()["receipt"]
        return found

    register.stock("0001")
    assert do(WAREHOUSE, "draft", **stated(line("0001")))["state"] == "drafted"
    issued = do(WAREHOUSE, "issue")
    assert (issued["state"], issued["controller"], issued["may"][DEPOSITOR][:2]) == (
        "issued",
        DEPOSITOR,
        ["transfer", "pledge"],
    )
    assert do(DEPOSITOR, "transfer", to=BUYER)["holder"] == BUYER
    pledged = do(BUYER, "pledge", pledgee=BANK)
    assert (pledged["state"], pledged["controller"], pledged["may"][BUYER]) == ("pledged", BANK, [])
    part = do(BANK, "release", quantities_milli=[10_000])
    assert (part["state"], part["goods"][0]["released_milli"]) == ("partly_released", 10_000)
    assert do(BUYER, "surrender")["goods"][0]["ordered_milli"] == 10_000
    assert do(WAREHOUSE, "deliver")["goods"][0]["quantity_milli"] == 30_000
    assert do(BANK, "release")["state"] == "released"
    assert do(BUYER, "surrender")["goods"][0]["ordered_milli"] == 30_000
    delivered = do(WAREHOUSE, "deliver")
    assert (delivered["state"], delivered["controller"]) == ("delivered", "")
    assert delivered["goods"][0]["delivered_milli"] == 40_000
    assert register.client.get(at(FIRST)).json() == delivered

    history = register.client.get(at(FIRST, "/acts")).json()["acts"]
    assert [one["text"] for one in history] == texts
    assert [one["act"] for one in history][-2:] == ["surrender", "deliver"]
    assert [one["by"] for one in history][-2:] == [BUYER, WAREHOUSE]
    assert history[-1]["head"] == delivered["head"]
    again = recover(register.cloud.store)
    assert state_module.digest(again) == state_module.digest(register.cloud.spine.state)
    assert again.receipts == register.cloud.spine.state.receipts


def test_a_history_comes_a_page_at_a_time_and_tells_parts_how_they_began(register: ReceiptCloud) -> None:
    register.issue(FIRST)
    register.do(DEPOSITOR, "transfer", FIRST, to=BUYER)
    register.do(BUYER, "split", FIRST, into_milli=[[1_000], [HAD - 1_000]])
    found, after = [], 0
    while (page := register.client.get(f"{at(FIRST)}/acts?limit=1&after_entry={after}").json())["acts"]:
        assert len(page["acts"]) == 1
        found += page["acts"]
        after = page["next_after_entry"]
    assert [one["act"] for one in found] == ["issue", "transfer", "split"]
    (begun,) = register.client.get(at(f"{FIRST}.2", "/acts")).json()["acts"]
    assert begun["text"] == found[-1]["text"]
    assert register.client.get(at(f"{FIRST}.2")).json()["goods"][0]["quantity_milli"] == HAD - 1_000
    assert_problem(register.client.get(at(f"{FIRST}.3", "/acts")), 404)


def test_a_receipt_that_evidence_has_frozen_says_so_in_its_history_and_nobody_signed_that(
    register: ReceiptCloud,
) -> None:
    register.cloud.spine.commit(drafts.amend, warehouses.document())
    register.stock("A")
    issued = register.do(WAREHOUSE, "issue", FIRST, **stated(line("A", container="MSKU1234565")))
    token = credential(register)
    dock = Device(warehouses.DOCK, seed=52)
    passed = dock.measure(register.now_ms, Cell(Channel.TAG_OUT, tag_number("MSKU1234565")))
    register.cloud.spine.take([dock.arrival([passed])])
    shown = register.cloud.get(at(FIRST))
    assert (shown["state"], shown["frozen_from"], shown["head"]) == ("frozen", "issued", issued["head"])
    assert verdict(register, token).why == (SUSPENDED,)
    issue, frozen = register.cloud.get(at(FIRST, "/acts"))["acts"]
    assert (issue["by"], frozen["by"], frozen["state"], frozen["head"]) == (WAREHOUSE, "", "frozen", issued["head"])
    assert "text" not in frozen


# What may not be.


def test_whatever_the_table_does_not_allow_is_refused_and_leaves_no_trace(register: ReceiptCloud) -> None:
    tried = 0
    for state in State:
        place = state.replace("_", "-")
        name = f"{WAREHOUSE}:{place}"
        register.stock(place)
        if state is State.DRAFTED:
            register.do(WAREHOUSE, "draft", name, **stated(line(place)))
        elif state is not State.NONE:
            register.do(WAREHOUSE, "issue", name, **stated(line(place)))
            for by, kind, body in STEPS[state]:
                register.do(by, kind, name, **{key: _named(one, name) for key, one in body.items()})
        if state is not State.NONE:
            assert register.get(name).state is state
        for kind in ActKind:
            body = {} if kind is ActKind.ISSUE and state is not State.NONE else body_of(kind, name, place)
            for by in (WAREHOUSE, DEPOSITOR, BANK, BUYER):
                if (state, kind) in LIFE and by in _who(register, name, state, kind):
                    continue
                tried += 1
                assert_refused(register, register.text(by, kind, name, **body))
    forbidden = len(State) * len(ActKind) - len(LIFE)
    assert tried >= 4 * forbidden
    assert register.cloud.spine.state.receipts.get(f"{WAREHOUSE}:none") is None


def _named(value: Any, name: str) -> Any:
    return value.replace("{receipt}", name) if isinstance(value, str) else value


def _who(register: ReceiptCloud, name: str, state: State, kind: ActKind) -> set[str]:
    """The parties that the table lets do an act."""
    if state is State.NONE:
        return {WAREHOUSE}
    known = register.get(name)
    return {str(getattr(known, role)) for role in LIFE[state, kind].by}


def test_of_two_acts_after_the_same_one_the_second_is_told_that_another_came_first(register: ReceiptCloud) -> None:
    register.issue(FIRST)
    first = register.text(DEPOSITOR, "pledge", FIRST, pledgee=BANK)
    second = register.text(DEPOSITOR, "transfer", FIRST, to=BUYER)
    assert register.post(first).status_code == 201
    found = assert_refused(register, second, 409)
    assert found["why"].startswith(f"another act on {FIRST} came first")
    assert found["cure"] == "look at the receipt as it stands, and sign anew after its head"
    assert_refused(register, register.text(WAREHOUSE, "issue", FIRST, after="", **stated(line("0002"))), 409)


def test_who_has_signed_a_receipt_away_is_told_nothing_of_it_any_more(register: ReceiptCloud) -> None:
    register.issue(FIRST)
    first = register.text(DEPOSITOR, "transfer", FIRST, to=BUYER)
    second = register.text(DEPOSITOR, "pledge", FIRST, pledgee=BANK)
    assert register.post(first).status_code == 201
    found = assert_refused(register, second)
    assert found["why"] == f"{DEPOSITOR} has no part in a receipt {FIRST}"
    unknown = assert_refused(register, register.text(DEPOSITOR, "pledge", SECOND, after="ab" * 32, pledgee=BANK))
    assert unknown["detail"] == found["detail"].replace(FIRST, SECOND)


def test_an_act_that_was_taken_may_be_handed_in_again_whatever_came_after(register: ReceiptCloud) -> None:
    issue = register.text(WAREHOUSE, "issue", FIRST, **stated(line("0001")))
    register.stock("0001")
    assert register.post(issue).status_code == 201
    entries = register.entries
    for _ in range(2):
        again = register.post(f"{issue}\r\n")
        assert (again.status_code, again.json()["changed"], again.json()["entry"]) == (200, False, None)
        assert register.entries == entries
        if register.get(FIRST).holder == DEPOSITOR:
            register.do(DEPOSITOR, "transfer", FIRST, to=BUYER)
            entries = register.entries
    assert again.json()["receipt"]["holder"] == BUYER


def test_who_has_no_part_any_more_learns_that_his_own_act_was_taken_and_nothing_else(register: ReceiptCloud) -> None:
    register.issue(FIRST)
    transfer = register.text(DEPOSITOR, "transfer", FIRST, to=BUYER)
    assert register.post(transfer).status_code == 201
    register.do(BUYER, "pledge", FIRST, pledgee=BANK)
    release = register.text(BANK, "release", FIRST)
    assert register.post(release).status_code == 201
    register.do(BUYER, "transfer", FIRST, to=AFFILIATE)
    entries = register.entries
    for text in (transfer, release):
        again = register.post(text)
        assert (again.status_code, again.json()) == (200, {"entry": None, "changed": False, "receipt": None})
    assert register.entries == entries
    # The same words signed anew are another text, and whoever never had a part is told as before.
    said = json.loads(jose.read(transfer).payload)
    assert "no part" in assert_refused(register, signed(DEPOSITOR, said | {"to": AFFILIATE}))["why"]
    assert "no part" in assert_refused(register, signed(STRANGER, said | {"by": STRANGER}))["why"]
    forged = transfer[: transfer.rindex(".") + 1] + release.rpartition(".")[2]
    assert "the signature is not by" in assert_refused(register, forged)["why"]


def test_the_register_says_what_it_is_called_and_takes_no_receipt_of_another(
    register: ReceiptCloud, tmp_path: Path
) -> None:
    name = register.client.get("/receipts/register").json()
    assert name == {"register": register_of(register.cloud.spine.state.journal)}
    assert register.cloud.spine.state.journal not in name["register"]
    register.stock("0001")
    issue = register.text(WAREHOUSE, "issue", FIRST, **stated(line("0001")))
    other = ReceiptCloud(tmp_path / "other", signer=None)
    other.stock("0001")
    assert "another register" in assert_refused(other, issue)["why"]
    assert register.post(issue).status_code == 201
    other.issue(FIRST, line("0001"))
    assert other.get(FIRST).head != register.get(FIRST).head
    assert_refused(other, register.text(DEPOSITOR, "pledge", FIRST, pledgee=BANK), 409)
    other.close()


@pytest.mark.parametrize(
    ("text", "content_type", "status", "said"),
    [
        ("a.b", "text/plain", 422, "a JWS in compact form has 3 parts"),
        ("", "application/jose", 422, "a JWS in compact form has 3 parts"),
        ("a.b.\u4e0a", "text/plain; charset=utf-8", 422, "byte 4 of the body is none of a JWS"),
        ("x" * 262_145, "text/plain", 413, "longer than 262144 bytes"),
        ("{}", "application/json", 415, "send text/plain or application/jose, not application/json"),
        ("{}", "", 415, "send text/plain or application/jose, not nothing"),
    ],
    ids=["two parts", "nothing", "no ASCII", "too long", "JSON", "no type"],
)
def test_what_is_no_signed_text_is_refused(
    register: ReceiptCloud, text: str, content_type: str, status: int, said: str
) -> None:
    entries = register.entries
    answer = register.client.post("/receipts/acts", content=text.encode(), headers={"content-type": content_type})
    assert said in assert_problem(answer, status)["detail"]
    assert register.entries == entries


def test_a_signature_is_the_only_thing_that_shows_who_acts(tmp_path: Path) -> None:
    register = ReceiptCloud(tmp_path, signer=None, token=TOKEN)
    try:
        del register.client.headers["authorization"]
        assert register.client.post("/book/amendments", json={}).status_code == 401
        register.issue(FIRST)
        payload = register.says(DEPOSITOR, "transfer", FIRST, to=STRANGER)
        found = assert_refused(register, signed(STRANGER, payload))
        assert found["why"].startswith(f"the signature is not by the key k1 of {DEPOSITOR}")
        answer = register.client.post(
            "/receipts/acts",
            content=signed(STRANGER, payload).encode(),
            headers={**JOSE, "authorization": f"Bearer {TOKEN}"},
        )
        assert answer.status_code == 422
        assert register.get(FIRST).holder == DEPOSITOR
    finally:
        register.close()


def test_a_key_that_left_the_book_signs_nothing_any_more(register: ReceiptCloud) -> None:
    register.issue(FIRST)
    register.cloud.spine.commit(drafts.amend, {"parties": [{"id": DEPOSITOR, "name": "without a key"}]})
    found = assert_refused(register, register.text(DEPOSITOR, "transfer", FIRST, to=BUYER))
    assert found["why"] == f"{DEPOSITOR} has no key called k1 in the book"
    assert recover(register.cloud.store).receipts == register.cloud.spine.state.receipts


# Who is told of a clash.


def test_a_clash_is_named_to_who_has_a_part_in_it_and_hidden_from_the_others(register: ReceiptCloud) -> None:
    boxed = {"container": "MSKU1234565"}
    register.stock("A", warehouse=WAREHOUSE)
    register.stock("B", warehouse=OTHER_WAREHOUSE)
    register.do(WAREHOUSE, "issue", FIRST, **stated(line("A", **boxed)))

    other = register.text(OTHER_WAREHOUSE, "issue", f"{OTHER_WAREHOUSE}:9", **stated(line("B", **boxed)))
    hidden = assert_refused(register, other)
    assert (hidden["clashes"], hidden["clashes_of_others"]) == ([], 1)
    assert FIRST not in json.dumps(hidden)
    assert "1 of others" in hidden["detail"]

    own = assert_refused(register, register.text(WAREHOUSE, "issue", SECOND, **stated(line("A", **boxed))))
    assert (own["clashes"], own["clashes_of_others"]) == ([FIRST], 0)
    assert FIRST in own["detail"]

    # Whoever only pretends to be the warehouse is told nothing at all.
    says = register.says(WAREHOUSE, "issue", SECOND, **stated(line("A", **boxed)))
    pretended = assert_refused(register, signed(STRANGER, says))
    assert "clashes" not in pretended
    assert FIRST not in json.dumps(pretended)


def test_what_comes_close_is_asked_for_and_passed_over_with_consent(register: ReceiptCloud) -> None:
    register.stock("A", pieces=200)
    register.do(WAREHOUSE, "issue", FIRST, **stated(line("A", seal="AB1203")))
    register.do(DEPOSITOR, "pledge", FIRST, pledgee=BANK)
    goods = stated(line("A", seal="A81203"))
    found = assert_refused(register, register.text(WAREHOUSE, "issue", SECOND, **goods))
    assert found["asks"] == ["goods[0] seal_like"]
    assert found["clashes"] == [FIRST]
    says = register.says(WAREHOUSE, "issue", SECOND, **goods, overrides=found["asks"], reason="both seals were read")
    assert_refused(register, signed(WAREHOUSE, {**says, "consents": [register.consent(DEPOSITOR, says)]}))
    answer = register.post(signed(WAREHOUSE, {**says, "consents": [register.consent(BANK, says)]}))
    assert answer.status_code == 201, answer.text
    assert answer.json()["receipt"]["overrides"] == ["goods[0] seal_like"]


# Reading.


def test_receipts_are_listed_by_id_and_by_whose_they_are(register: ReceiptCloud) -> None:
    names = [f"{WAREHOUSE}:{number:04}" for number in range(1, 6)]
    for name in names:
        register.issue(name)
    register.issue(f"{OTHER_WAREHOUSE}:1")
    register.do(DEPOSITOR, "transfer", names[1], to=BUYER)
    register.do(DEPOSITOR, "pledge", names[2], pledgee=BANK)

    def listed(query: str) -> tuple[list[str], str]:
        page = register.cloud.get(f"/receipts?{query}")
        return [one["id"] for one in page["receipts"]], page["next_after"]

    assert listed("") == ([*names, f"{OTHER_WAREHOUSE}:1"], "")
    assert listed(f"warehouse={OTHER_WAREHOUSE}") == ([f"{OTHER_WAREHOUSE}:1"], "")
    assert listed(f"holder={BUYER}") == ([names[1]], "")
    assert listed(f"pledgee={BANK}&state=pledged") == ([names[2]], "")
    assert listed(f"pledgee={BANK}&state=issued") == ([], "")
    assert listed("limit=4") == (names[:4], names[3])
    assert listed(f"limit=4&after={names[3]}") == ([names[4], f"{OTHER_WAREHOUSE}:1"], "")
    assert listed(f"warehouse={WAREHOUSE}&limit=5") == (names, "")
    assert_problem(register.client.get("/receipts?state=mislaid"), 422)
    assert_problem(register.client.get("/receipts?limit=0"), 422)
    assert "there is no receipt 'la-1:9999'" in assert_problem(register.client.get(at("la-1:9999")), 404)["detail"]


# Credentials.


def test_a_credential_is_good_by_another_implementation_and_holds_until_the_receipt_says_something_else(
    register: ReceiptCloud,
) -> None:
    register.issue(FIRST)
    first = credential(register)
    key = register.cloud.get("/receipts/issuer")
    assert key == {**JWK, "kid": ISSUER.kid}
    other = JWS()
    other.deserialize(first, other_jwk.JWK.from_json(json.dumps(key)))
    said = json.loads(other.payload)
    assert (said["credentialSubject"]["receipt"], said["credentialSubject"]["holder"]) == (FIRST, DEPOSITOR)
    assert said["credentialSubject"]["newest_act"] == register.get(FIRST).head
    for purpose in ("revocation", "suspension"):
        answer = register.client.get(f"/receipts/status-lists/{purpose}/0")
        assert answer.headers["content-type"] == "application/vc+jwt"
        other.deserialize(answer.text, other_jwk.JWK.from_json(json.dumps(key)))
        entry = next(one for one in said["credentialStatus"] if one["statusPurpose"] == purpose)
        assert json.loads(other.payload)["id"] == entry["statusListCredential"]
    assert verdict(register, first) == (  # nothing is wrong
        (),
        verdict(register, first).receipt,
    )

    # The same bytes at whatever time, and where the credential itself says that it is.
    register.cloud.clock.at_ms += 60_000
    assert credential(register) == first
    address = said["id"].removeprefix(ISSUER.base_url)
    assert register.client.get(address).text == first
    register.do(DEPOSITOR, "transfer", FIRST, to=BUYER)
    assert verdict(register, first).why == (REVOKED,)
    assert "does not hold any more" in assert_problem(register.client.get(address), 410)["detail"]
    second = credential(register)
    assert verdict(register, second).ok

    # Back with the first holder it says again what it did, and what was revoked stays so.
    register.do(BUYER, "transfer", FIRST, to=DEPOSITOR)
    assert verdict(register, first).why == verdict(register, second).why == (REVOKED,)
    assert verdict(register, credential(register)).ok


def test_a_frozen_receipt_suspends_its_credential_and_thawed_it_is_the_same_again(register: ReceiptCloud) -> None:
    register.issue(FIRST)
    token = credential(register)
    register.do(WAREHOUSE, "freeze", FIRST, reason="a count is under way")
    assert verdict(register, token).why == (SUSPENDED,)
    found = assert_problem(register.client.get(at(FIRST, "/credential")), 409)
    assert found["detail"].startswith(f"receipt {FIRST} is frozen: a credential is made for one that is issued")
    register.do(WAREHOUSE, "thaw", FIRST, reason="all is there")
    assert verdict(register, token).ok
    assert credential(register) == token


@pytest.mark.parametrize("state", ["delivered", "cancelled", "split", "replaced"])
def test_a_credential_of_a_receipt_that_has_ended_is_revoked(register: ReceiptCloud, state: str) -> None:
    register.issue(FIRST)
    token = credential(register)
    for by, kind, body in STEPS[state]:
        register.do(by, kind, FIRST, **{key: _named(one, FIRST) for key, one in body.items()})
    assert verdict(register, token).why == (REVOKED,)
    assert_problem(register.client.get(at(FIRST, "/credential")), 409)
    for name in (*register.get(FIRST).children, register.get(FIRST).replaced_by):
        if name:
            assert verdict(register, credential(register, name)).ok


def test_numbers_are_never_given_twice_however_the_state_came_back(register: ReceiptCloud) -> None:
    seen: dict[int, tuple[str, str]] = {}
    for number, name in enumerate((FIRST, SECOND)):
        register.issue(name)
        register.do(DEPOSITOR, "pledge", name, pledgee=(BANK, OTHER_BANK)[number])
        register.do((BANK, OTHER_BANK)[number], "split", name, into_milli=[[1_000], [HAD - 1_000]])
        for one in state_module.from_bytes(state_module.to_bytes(register.cloud.spine.state)).receipts.receipts():
            if one.is_live:
                assert seen.setdefault(one.number, (one.id, one.number_head)) == (one.id, one.number_head)
    again = state_module.from_bytes(state_module.to_bytes(register.cloud.spine.state))
    assert again.receipts == register.cloud.spine.state.receipts
    assert again.receipts.numbers == 8  # two issues, two pledges, four parts
    assert sorted(seen) == [3, 4, 7, 8]


def test_a_sheet_is_a_pdf_that_verifies(register: ReceiptCloud) -> None:
    register.issue(FIRST)
    answer = register.client.get(at(FIRST, "/sheet"))
    assert answer.headers["content-type"] == "application/pdf"
    assert verdict(register, answer.content).ok
    assert verify(answer.content, JWK, None, register.now_ms).receipt == verdict(register, credential(register)).receipt


def test_what_is_not_there_is_said_to_be_so(register: ReceiptCloud) -> None:
    register.issue(FIRST)
    for path, said in (
        ("/receipts/status-lists/1", "there is no status list 1; the last is 0"),
        ("/receipts/status-lists/revocation/1", "there is no status list 1; the last is 0"),
        ("/receipts/status-lists/refreshing/0", "there is no status list for 'refreshing', but for revocation"),
        (at(FIRST, "/credentials/2"), f"receipt {FIRST} has no credential 2"),
        (at(FIRST, "/credentials/0"), f"receipt {FIRST} has no credential 0"),
        (at(SECOND, "/credential"), f"there is no receipt '{SECOND}'"),
        (at(SECOND, "/sheet"), f"there is no receipt '{SECOND}'"),
    ):
        assert said in assert_problem(register.client.get(path), 404)["detail"]


def test_without_an_issuer_receipts_live_and_no_credential_is_made(tmp_path: Path) -> None:
    register = ReceiptCloud(tmp_path, signer=None)
    try:
        register.issue(FIRST)
        for path in (at(FIRST, "/credential"), at(FIRST, "/sheet"), "/receipts/issuer", "/receipts/status-lists/0"):
            found = assert_problem(register.client.get(path), 404)
            assert "set [receipts] issuer_key_file and base_url" in found["detail"]
    finally:
        register.close()
