"""The plain form, what every form shares, and whether a sender may be believed."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trading import CONTAINER, NOON, NOON_MS, errors, plain, plain_notice, read

from pledgewatch_cloud.decide.item import BookError, Item
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade import fields, submission
from pledgewatch_cloud.decide.trade.notice import Notice, NoticeError
from pledgewatch_cloud.decide.trade.notice_book import NoticeBook
from pledgewatch_cloud.decide.trade.plain import KEYS
from pledgewatch_cloud.decide.trade.senders import READERS, Sender
from pledgewatch_cloud.decide.trade.vocabulary import CLASSIFIERS, FACT_KINDS, NOTICE_KINDS, OTHER, REFERENCE_TYPES


def test_a_plain_notice_is_read_whole() -> None:
    one = plain_notice(
        "N-1",
        "customs_cleared",
        classifier="estimated",
        about={"container": ["msku 123456-5"], "customs": ["26DE 1", "26DE 1"], "lot": ["lot:7"]},
        place="de ham",
        until="2026-01-02T00:00:00+01:00",
        party="lei:5493001kjtiigc8y1r12",
        replaces="N-0",
    )
    assert read("plain", plain(one)) == [
        Notice(
            "carrier/N-1",
            "carrier",
            "customs_cleared",
            NOON_MS,
            "estimated",
            (f"container:{CONTAINER}", "customs:26DE 1", "lot:lot:7"),
            "DEHAM",
            NOON_MS + 11 * 3_600_000,
            "lei:5493001KJTIIGC8Y1R12",
            replaces="carrier/N-0",
        )
    ]


def test_a_bare_withdrawal_needs_nothing_else() -> None:
    bare, told = read("plain", plain({"id": "2", "withdraws": "1"}, plain_notice("3", withdraws="1")))
    assert bare == Notice("carrier/2", "carrier", "", 0, withdraws="carrier/1")
    assert (told.kind, told.withdraws, told.until_ms) == ("arrived", "carrier/1", NEVER)


@pytest.mark.parametrize("kind", NOTICE_KINDS)
def test_every_kind_can_be_said(kind: str) -> None:
    assert read("plain", plain(plain_notice(kind=kind)))[0].kind == kind


def test_what_ends_another_is_itself_in_the_vocabulary() -> None:
    assert {end for one in NOTICE_KINDS.values() for end in one.ended_by} <= set(FACT_KINDS)
    assert OTHER not in FACT_KINDS
    assert {kind for kind, one in NOTICE_KINDS.items() if one.ended_by} == {
        "hold_placed", "bill_of_lading_issued", "customs_cleared", "insurance_bound", "invoice_confirmed",
        "receipt_issued", "pledge_registered",
    }  # fmt: skip


FAULTS: list[tuple[Any, str]] = [
    # what is changed in a notice that is right, and what is said of it
    ({"id": None}, "notices[0].id: is missing"),
    ({"id": "a b"}, "notices[0].id: 'a b' is no id"),
    ({"id": "x" * 257}, "is no id"),
    ({"id": 7}, "notices[0].id: 7 is no id"),
    ({"id": "a/../b"}, "notices[0].id: 'a/../b' has a part that addresses leave out; give it another id"),
    ({"withdraws": "https://a.example//b"}, "notices[0].withdraws: 'https://a.example//b' has a part"),
    ({"kind": None}, "notices[0].kind: is missing"),
    ({"kind": "arived"}, "notices[0].kind: 'arived' is none of empty_out, full_in, "),
    ({"kind": ["arrived"]}, "notices[0].kind: ['arrived'] is none of"),
    ({"classifier": "maybe"}, "notices[0].classifier: 'maybe' is none of actual, estimated, planned"),
    ({"happened_at": None}, "notices[0].happened_at: is missing"),
    ({"happened_at": "2026-01-01T12:00:00"}, "is not a time in ISO 8601 with its offset"),
    ({"happened_at": NOON_MS}, "is not a time in ISO 8601"),
    ({"until": NOON}, "notices[0].until: 2026-01-01T12:00:00Z is not after happened_at"),
    ({"about": None}, "notices[0].about: name what it is about"),
    ({"about": {}}, "notices[0].about: name what it is about"),
    ({"about": []}, "notices[0].about: an object is needed, not []"),
    ({"about": {"container": CONTAINER}}, "notices[0].about.container: a list is needed"),
    ({"about": {"container": ["MSKU1234560"]}}, "container[0]: 'MSKU1234560': the check digit is 0 and should be 5"),
    ({"about": {"contaner": [CONTAINER]}}, "notices[0].about.contaner: none of container, bill_of_lading, "),
    ({"about": {"invoice": ["A", ""]}}, "notices[0].about.invoice[1]: ''"),
    ({"about": {"invoice": [" A"]}}, "notices[0].about.invoice[0]: ' A': no line breaks"),
    ({"about": {"invoice": ["A\nB"]}}, "no line breaks"),
    ({"about": {"invoice": ["A\u0000"]}}, "no line breaks or control characters"),
    ({"about": {"invoice": [12]}}, "notices[0].about.invoice[0]: 12"),
    ({"about": {"lot": [str(one) for one in range(1_001)]}}, "1001 references from here on; at most 1000"),
    ({"place": "Hamburg"}, "notices[0].place: 'Hamburg' is no UN/LOCODE"),
    ({"place": 5}, "notices[0].place: a text is needed"),
    ({"party": "ACME"}, "notices[0].party: 'ACME' is no party: write lei:… or id:…"),
    ({"party": "lei:5493001KJTIIGC8Y1R13"}, "the check digits are 13 and should be 12"),
    ({"withdraws": "1"}, "notices[0].withdraws: names the notice itself"),
    ({"replaces": "1"}, "notices[0].replaces: names the notice itself"),
    ({"withdraws": "someone else/1"}, "notices[0].withdraws: 'someone else/1' is no id"),
    ({"kind": None, "withdraws": "0", "replaces": "2"}, "notices[0].replaces: what replaces another says something"),
    ({"happend_at": NOON}, "notices[0].happend_at: no such key"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "fault"), FAULTS, ids=[fault[:50] for _, fault in FAULTS])
def test_a_fault_is_told_with_its_place_and_its_cure(changes: dict[str, Any], fault: str) -> None:
    found = errors("plain", plain(plain_notice(**changes)))
    assert any(fault in one for one in found), found


def test_a_document_is_refused_whole_with_every_fault() -> None:
    found = errors("plain", plain(plain_notice(), plain_notice("2", kind="no", place="no"), None, 5, plain_notice("é")))
    assert [one.partition(": ")[0] for one in found] == [
        "notices[1].kind", "notices[1].place", "notices[2]", "notices[2].id", "notices[2].kind",
        "notices[2].happened_at", "notices[2].about", "notices[3]", "notices[3].id", "notices[3].kind",
        "notices[3].happened_at", "notices[3].about", "notices[4].id",
    ]  # fmt: skip


DOCUMENTS = [
    # what is handed in, and why it is refused
    ("", "no JSON: line 1, column 1"),
    ('{"notices": [], "notices": []}', "the key 'notices' comes twice in one object"),
    ('{"notices": [NaN]}', "NaN is no number"),
    ('{"notices": [-Infinity]}', "-Infinity is no number"),
    ('{"notices": [1e999]}', "the number 1e999 is larger than any that can be held"),
    ('{"notices": [' + "9" * 5_000 + "]}", "a number of 5000 digits"),
    ('{"notices": ["\\ud800"]}', "half a surrogate pair"),
    ('{"notices": ["\ud800"]}', "half a surrogate pair"),
    ('{"notices": ' + "[" * 70 + "]" * 70 + "}", "more than 64 levels"),
    ('{"notices": ' + "[" * 100_000 + "]" * 100_000 + "}", "no JSON"),
    (" " * fields.TEXT_MAX_BYTES + "{}", "at most 4194304: hand it in in parts"),
]


@pytest.mark.parametrize(("text", "why"), DOCUMENTS, ids=[why for _, why in DOCUMENTS])
@pytest.mark.parametrize("form", submission.FORMS)
def test_what_is_no_document_is_refused_in_every_form(form: str, text: str, why: str) -> None:
    found = errors(form, text)
    assert len(found) == 1
    assert why in found[0]


@pytest.mark.parametrize(
    ("form", "text", "why"),
    [
        ("plain", "[]", 'an object with the one key "notices" is needed'),
        ("plain", '{"notices": [], "more": 1}', 'an object with the one key "notices" is needed'),
        ("plain", '{"notices": {}}', "notices: a list is needed"),
        ("plain", '{"notices": [' + "0," * 10_000 + "0]}", "notices: 10001 of them; at most 10000"),
        ("dcsa", "[" + "0," * 10_000 + "0]", "events: 10001 of them; at most 10000"),
        ("dcsa", "5", "an event, a list of events or"),
        ("dcsa", '{"events": 5}', "an event, a list of events or"),
        ("epcis", "[]", "the document: an object is needed"),
        ("epcis", '{"type": "EPCISDocument"}', "epcisBody: an object is needed"),
        ("epcis", '{"type": "EPCISDocument", "epcisBody": {}}', "epcisBody.eventList: is missing"),
    ],
)
def test_what_is_no_document_of_its_form_is_refused(form: str, text: str, why: str) -> None:
    (found,) = errors(form, text)
    assert why in found


def test_a_whole_surrogate_pair_is_a_character() -> None:
    text = plain(plain_notice(about={"invoice": ["\U0001f4e6"]}))
    assert "\\ud83d" in text
    assert read("plain", text)[0].references == ("invoice:\U0001f4e6",)


TIMES = [
    # as senders write it, and what it is after noon
    ("2026-01-01T12:00:00Z", 0),
    ("2026-01-01t12:00:00z", 0),
    ("2026-01-01T12:00Z", 0),
    ("2026-01-01T12:00:00-00:00", 0),
    ("2026-01-01T13:30:00+01:30", 0),
    ("2026-01-01T13:30:00+0130", 0),
    ("2026-01-01T12:00:00.5Z", 500),
    ("2026-01-01T12:00:00,5Z", 500),
    ("2026-01-01T12:00:00.0019Z", 1),
    ("2026-01-01T12:00:00.99999999999999999999Z", 999),
    ("2026-01-01T23:59:60Z", 12 * 3_600_000 - 1),
    ("2026-01-02T01:59:60.7+02:00", 12 * 3_600_000 - 1),
]


@pytest.mark.parametrize(("text", "after_ms"), TIMES)
def test_a_time_is_read_as_senders_write_it(text: str, after_ms: int) -> None:
    assert read("plain", plain(plain_notice(happened_at=text)))[0].happened_ms == NOON_MS + after_ms


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01", "2026-01-01 12:00:00Z", "20260101T120000Z", "2026-W01-1T12:00:00Z", "2026-02-30T12:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T12:60:00Z", "2026-01-01T12:00:60Z", "2026-01-01T12:00:61Z",
        "2026-01-01T12:00:00+14:01", "2026-01-01T12:00:00+01:60", "2026-01-01T12:00:00+00:00:01",
        "0000-01-01T12:00:00Z", "0001-01-01T00:00:00+01:00", "2026-01-01T12:00:00Z\n", "٢٠٢٦-01-01T12:00:00Z",
        "1767268800",
    ],
)  # fmt: skip
def test_what_is_no_time_is_told_so(text: str) -> None:
    (found,) = errors("plain", plain(plain_notice(happened_at=text)))
    assert found.startswith("notices[0].happened_at: ")


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.sampled_from(
        ["EQUIPMENT", "ObjectEvent", "EPCISDocument", NOON, CONTAINER, "ACT"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from([
            "notices", "id", "kind", "about", "container", "eventID", "eventType", "metadata", "payload", "events",
            "references", "eventClassification", "isRetracted", "type", "epcisBody", "eventList", "eventTime",
            "epcList", "bizTransactionList", "readPoint", "errorDeclaration", "transportCall", "eventDateTime",
            "documentReferences", "quantityList", "bizStep", "action", "documentTypeCode", "equipmentEventTypeCode",
        ]), inner, max_size=6),
    max_leaves=25,
))  # fmt: skip
def test_whatever_is_handed_in_is_taken_or_refused_with_a_reason(document: Any) -> None:
    for form in submission.FORMS:
        try:
            found = read(form, document)
        except NoticeError as error:
            faults, found = error.errors, []
        else:
            faults = ("none",)
        assert faults
        assert all(one.key.startswith("carrier/") for one in found)


def test_a_form_or_a_sender_that_is_none_is_refused() -> None:
    assert errors("xml", "{}") == ["form: 'xml' is none of plain, dcsa, epcis"]
    # With a slash in its name a sender could say `carrier/x` in the name of another.
    assert errors("plain", plain(), "carrier/x")[0].startswith("sender: 'carrier/x': use 1 to 64")


SENDERS = {one.id: one for one in (Sender("carrier"), Sender("customs", ("customs_cleared", "customs_refused")))}


def checked(sender: str, *notices: Any, book: NoticeBook | None = None) -> list[str]:
    """Why notices are not taken from a sender; nothing: they are."""
    try:
        submission.check(SENDERS, sender, read("plain", plain(*notices), sender), book or NoticeBook())
    except NoticeError as error:
        return list(error.errors)
    return []


def test_a_sender_may_say_its_kinds_and_take_back_what_it_said() -> None:
    assert checked("carrier", plain_notice()) == []
    assert checked("customs", plain_notice(kind="customs_cleared"), {"id": "2", "withdraws": "1"}) == []
    assert checked("customs", plain_notice(kind=OTHER)) == []
    assert checked("customs", plain_notice(kind="customs_cleared"), plain_notice("2")) == [
        "customs/2: customs may not say arrived; it may say customs_cleared, customs_refused"
    ]
    assert checked("nobody", plain_notice()) == [
        "sender: 'nobody' is none that the book knows; add it to the section senders"
    ]


def test_who_has_left_the_book_of_senders_may_still_take_back_what_they_said() -> None:
    book = NoticeBook().taken(read("plain", plain(plain_notice()), "nobody"))
    assert checked("nobody", {"id": "w", "withdraws": "1"}, book=book) == []
    assert checked("nobody", {"id": "w", "withdraws": "unheard-of"}, book=book) != []
    assert checked("nobody", {"id": "w", "withdraws": "1"}, plain_notice("2"), book=book) != []
    assert checked("nobody", book=book) != []


def test_the_same_id_with_other_content_is_refused_and_with_the_same_is_not() -> None:
    book = NoticeBook().taken(read("plain", plain(plain_notice())))
    assert checked("carrier", plain_notice(), plain_notice("2"), book=book) == []
    (found,) = checked("carrier", plain_notice(place="USLAX", kind="departed"), book=book)
    assert found.startswith("carrier/1: was said before with another kind, place; a correction has an id of its own")
    assert len(checked("carrier", plain_notice("2"), plain_notice("2", place="USLAX"))) == 1
    assert checked("customs", plain_notice(kind="customs_cleared"), book=book) == []


def test_a_sender_is_read_from_the_book() -> None:
    item = Item("senders[0]", {"id": "customs-de", "kinds": ["customs_refused", "customs_cleared"], "grade": "fair"})
    assert READERS["senders"](item) == Sender("customs-de", ("customs_cleared", "customs_refused"), "fair")
    assert READERS["senders"](Item("senders[0]", {"id": "carrier"})) == Sender("carrier", (), "good")
    for wrong in ({"id": "a/b"}, {"id": "a", "kinds": ["other"]}, {"id": "a", "grade": "none"}):
        with pytest.raises(BookError, match=r"senders\[0\]\."):
            READERS["senders"](Item("senders[0]", wrong))


def test_the_example_of_the_page_is_taken_and_the_page_names_every_kind_and_key() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "NOTICES.md").read_text(encoding="utf-8")
    text = page.partition("```json")[2].partition("```")[0]
    assert [one.kind for one in read("plain", text)] == ["customs_cleared", "insurance_bound", ""]
    for word in (*NOTICE_KINDS, *KEYS, *CLASSIFIERS, *REFERENCE_TYPES):
        assert f"`{word}`" in page
