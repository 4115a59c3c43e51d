"""No goods twice: whatever way the same goods come onto two receipts, the second is refused, or asked for."""

from typing import Any

import pytest
from receipting import (
    AFFILIATE,
    BANK,
    BUYER,
    CHAIRS,
    DAY_MS,
    DEPOSITOR,
    FIRST,
    KEYS,
    NOON_MS,
    OTHER_BANK,
    OTHER_WAREHOUSE,
    RECEIVED,
    SOFAS,
    STRANGER,
    WAREHOUSE,
    Register,
    signed,
    stated,
    window,
)

from pledgewatch_cloud.decide.receipts import claiming, life
from pledgewatch_cloud.decide.receipts.act import ActError
from pledgewatch_cloud.decide.receipts.claims import Claim, blinded, blinded_set, claims_of
from pledgewatch_cloud.decide.receipts.goods import GoodsLine, Window
from pledgewatch_cloud.decide.receipts.receipt import State
from pledgewatch_cloud.decide.stock.rows import StockKey

SECOND, THIRD = f"{WAREHOUSE}:0002", f"{WAREHOUSE}:0003"
ELSEWHERE, THERE_TOO = f"{OTHER_WAREHOUSE}:0001", f"{OTHER_WAREHOUSE}:0002"
BOX = SOFAS | {"container": "MSKU1234565", "seal": "CN 0450-1B", "device": "door-17", "bin": "YARD"}
OTHER_BOX = BOX | {"container": "CSQU3054383", "seal": "ZZ99999", "device": "door-18"}
A01 = StockKey(WAREHOUSE, DEPOSITOR, "SOFA-3", "A-01", "piece")


@pytest.fixture
def register() -> Register:
    return Register()


def why_not(register: Register, name: str, *goods: dict[str, Any], **stated_as: Any) -> ActError:
    return register.refuse(name.partition(":")[0], "issue", name, **stated(*goods, **stated_as))


def clashes(error: ActError) -> list[tuple[str, str]]:
    return [(clash.ask, clash.receipt) for clash in error.clashes]


@pytest.mark.parametrize("kind", ["container", "seal", "device"])
@pytest.mark.parametrize("name", [SECOND, ELSEWHERE])
def test_what_there_is_only_once_is_claimed_once_wherever_it_lies(register: Register, kind: str, name: str) -> None:
    register.issue(FIRST, BOX)
    register.pledge()
    other = {**OTHER_BOX, kind: BOX[kind], "bin": "C-40", "sku": "OTHER", "quantity_milli": 1}
    error = why_not(register, name, other, depositor=AFFILIATE, received=window(20, 21))
    assert error.why == f"these goods are claimed by another live receipt: goods[0] {kind}"
    assert clashes(error) == [(f"goods[0] {kind}", FIRST)]
    assert not error.asks


@pytest.mark.parametrize("spelling", ["msku1234565", "MSKU 123456-5", " MSKU1234565"])
def test_another_spelling_is_the_same_container(register: Register, spelling: str) -> None:
    register.issue(FIRST, BOX)
    other = OTHER_BOX | {"container": spelling}
    assert clashes(why_not(register, SECOND, other)) == [("goods[0] container", FIRST)]


def test_a_seal_in_another_spelling_is_the_same_and_one_that_looks_like_it_is_asked_for(register: Register) -> None:
    register.issue(FIRST, BOX)
    assert clashes(why_not(register, SECOND, OTHER_BOX | {"seal": "cn04501b"})) == [("goods[0] seal", FIRST)]
    error = why_not(register, SECOND, OTHER_BOX | {"seal": "CNO45O18"})
    assert error.asks
    assert clashes(error) == [("goods[0] seal_like", FIRST)]


def test_two_boxes_of_one_sku_in_one_yard_on_one_day_are_two(register: Register) -> None:
    register.issue(FIRST, BOX)
    assert register.issue(SECOND, OTHER_BOX).overrides == ()


@pytest.mark.parametrize(
    ("other", "received"),
    [
        (SOFAS, RECEIVED),
        (SOFAS | {"quantity_milli": 1}, RECEIVED),
        (SOFAS | {"unit": "carton"}, RECEIVED),
        (SOFAS | {"bin": "a-01", "sku": "sofa-3"}, RECEIVED),
        (SOFAS, window(-30, 0)),
        (SOFAS, window(-0.1, 3)),
        (SOFAS, window(-3, -0.9)),
    ],
)
@pytest.mark.parametrize("depositor", [DEPOSITOR, AFFILIATE])
def test_the_same_bin_and_sku_on_a_shared_day_is_claimed_once(
    register: Register, other: dict[str, Any], received: dict[str, str], depositor: str
) -> None:
    register.issue()
    error = why_not(register, SECOND, other, depositor=depositor, received=received)
    assert clashes(error) == [("goods[0] bin", FIRST)]
    assert not error.asks


def test_other_goods_are_no_clash(register: Register) -> None:
    register.issue()
    register.issue(SECOND, CHAIRS)
    register.issue(THIRD, SOFAS | {"bin": "A-02", "quantity_milli": 39_000})
    register.issue(ELSEWHERE, SOFAS, depositor=AFFILIATE)
    assert register.issue(f"{WAREHOUSE}:0004", SOFAS, received=window(3, 4)).state is State.ISSUED


def test_goods_that_left_or_were_given_up_may_be_claimed_anew(register: Register) -> None:
    register.issue()
    register.do(DEPOSITOR, "cancel", FIRST, reason="a slip")
    register.issue(SECOND)
    register.do(DEPOSITOR, "surrender", SECOND)
    assert register.receipts.keys("sofa-3") == (A01,)
    register.do(WAREHOUSE, "deliver", SECOND)
    assert register.receipts.keys("sofa-3") == ()
    assert register.issue(THIRD).state is State.ISSUED


def test_a_draft_claims_nothing_and_is_checked_when_it_is_issued(register: Register) -> None:
    register.do(WAREHOUSE, "draft", FIRST, **stated())
    register.issue(SECOND)
    error = register.refuse(WAREHOUSE, "issue", FIRST)
    assert clashes(error) == [("goods[0] bin", SECOND)]
    assert register.receipts.live_milli(A01) == 40_000


@pytest.mark.parametrize("how", ["freeze", "lose", "pledge", "transfer"])
def test_a_receipt_that_is_stopped_or_handed_on_claims_as_before(register: Register, how: str) -> None:
    register.issue()
    if how in {"freeze", "lose"}:
        register.do(WAREHOUSE, how, FIRST, reason="x")
    elif how == "pledge":
        register.pledge()
    else:
        register.do(DEPOSITOR, "transfer", FIRST, to=AFFILIATE)
    assert clashes(why_not(register, SECOND)) == [("goods[0] bin", FIRST)]


def test_two_lines_of_one_receipt_do_not_claim_the_same(register: Register) -> None:
    assert "goods[0] and goods[1] claim the same by their bin" in why_not(register, FIRST, SOFAS, SOFAS).why
    assert (
        "claim the same by their container"
        in why_not(register, FIRST, BOX, OTHER_BOX | {"container": "MSKU1234565"}).why
    )
    assert "claim the same" in register.refuse(WAREHOUSE, "draft", FIRST, **stated(SOFAS, SOFAS)).why


def test_goods_that_have_not_come_in_are_on_no_receipt(register: Register) -> None:
    later = window(40.1, 41)
    assert "received: the goods come in after the act is signed" in why_not(register, FIRST, SOFAS, received=later).why
    assert "come in after" in register.refuse(WAREHOUSE, "draft", FIRST, **stated(SOFAS, received=later)).why
    register.now_ms += DAY_MS
    assert register.issue(FIRST, SOFAS, received=later).state is State.ISSUED


def test_marks_have_a_bound_and_what_is_begun_goes_on(register: Register, monkeypatch: pytest.MonkeyPatch) -> None:
    register.issue()
    assert register.receipts.marks == 6  # its pool, its place, and its bin and lot on two days
    monkeypatch.setattr(claiming, "MARKS_MAX", 5)
    assert "live receipts are found by 6 marks, and 5 are the most" in why_not(register, SECOND, CHAIRS).why
    register.do(DEPOSITOR, "surrender", FIRST)
    register.do(WAREHOUSE, "deliver", FIRST)
    assert register.receipts.marks == 0
    assert register.issue(SECOND, CHAIRS).state is State.ISSUED


# Split then pledge both.


def test_after_a_split_the_whole_can_be_pledged_no_more_and_the_parts_come_to_it(register: Register) -> None:
    register.issue()
    pledge_of_the_whole = register.text(DEPOSITOR, "pledge", FIRST, pledgee=BANK)
    register.do(DEPOSITOR, "split", FIRST, into_milli=[[30_000], [10_000]])
    assert "another act on la-1:0001 came first" in register.assert_refused(pledge_of_the_whole).why
    assert "is split" in register.refuse(DEPOSITOR, "pledge", FIRST, pledgee=BANK).why
    register.pledge(f"{FIRST}.1", BANK)
    register.pledge(f"{FIRST}.2", OTHER_BANK)
    assert register.receipts.live_milli(A01) == 40_000
    assert [one.quantity_milli for n in (1, 2) for one in register.get(f"{FIRST}.{n}").goods] == [30_000, 10_000]
    assert len(clashes(why_not(register, SECOND))) == 2


def test_a_pledged_receipt_is_neither_split_nor_pledged_by_its_holder(register: Register) -> None:
    register.issue()
    register.pledge()
    assert "is for its pledgee alone" in register.refuse(DEPOSITOR, "split", FIRST, into_milli=[[1], [39_999]]).why
    assert "pledge is no move from there" in register.refuse(DEPOSITOR, "pledge", FIRST, pledgee=OTHER_BANK).why


def test_a_part_is_not_more_than_its_share(register: Register) -> None:
    register.issue()
    for parts in ([[40_000], [40_000]], [[40_000], [1]], [[20_000], [19_999]]):
        assert "line 0 comes to" in register.refuse(DEPOSITOR, "split", FIRST, into_milli=parts).why


# The affiliate round trip.


def test_goods_sold_to_an_affiliate_and_booked_on_its_account_carry_no_second_receipt(register: Register) -> None:
    register.has({A01: 40_000})
    register.issue()
    register.pledge()
    # The stock system books a sale to the affiliate: a new day, a new owner, the same sofas.
    register.has({A01: 0, A01._replace(owner=AFFILIATE): 40_000})
    error = why_not(register, SECOND, depositor=AFFILIATE, received=window(9, 10))
    assert "live receipts of SOFA-3 are short by 40000" in error.why
    moved = SOFAS | {"bin": "Z-09"}
    register.has({A01: 0, A01._replace(owner=AFFILIATE, bin="Z-09"): 40_000})
    assert "are short" in why_not(register, SECOND, moved, depositor=AFFILIATE, received=window(9, 10)).why
    # Nor where the stock system does not say that they left the first account: who stands to lose is asked.
    register.has({A01: 40_000, A01._replace(owner=AFFILIATE): 40_000})
    error = why_not(register, SECOND, depositor=AFFILIATE, received=window(9, 10))
    assert error.asks
    assert clashes(error) == [("goods[0] place", FIRST)]


def test_a_receipt_that_goes_to_an_affiliate_and_back_is_one_receipt(register: Register) -> None:
    register.issue()
    old_pledge = register.text(DEPOSITOR, "pledge", FIRST, pledgee=OTHER_BANK)
    register.do(DEPOSITOR, "transfer", FIRST, to=AFFILIATE)
    assert "has no part" in register.refuse(DEPOSITOR, "pledge", FIRST, pledgee=OTHER_BANK).why
    register.pledge()
    assert "transfer is no move from there" in register.refuse(AFFILIATE, "transfer", FIRST, to=DEPOSITOR).why
    register.do(BANK, "release", FIRST)
    register.do(AFFILIATE, "transfer", FIRST, to=DEPOSITOR)
    assert "another act" in register.assert_refused(old_pledge).why
    assert why_not(register, SECOND, depositor=AFFILIATE).clashes


def test_goods_moved_from_under_a_receipt_carry_no_second_one(register: Register) -> None:
    register.has({A01: 40_000})
    register.issue()
    register.has({A01: 0, A01._replace(bin="Z-09"): 40_000})
    error = why_not(register, SECOND, SOFAS | {"bin": "Z-09", "quantity_milli": 39_999}, received=window(9, 10))
    assert "live receipts of SOFA-3 are short by 39999 thousandths of a piece with this one" in error.why
    assert "have the bin counted" in error.cure


CARTONS = {"unit": "carton", "quantity_milli": 10_000}


@pytest.mark.parametrize("other", [{}, {"sku": "sofa-3"}, CARTONS, {"sku": "Sofa-3", **CARTONS}])
@pytest.mark.parametrize("is_surrendered", [False, True])
def test_goods_that_go_to_an_affiliate_by_another_name_or_unit_carry_no_second_receipt(
    register: Register, other: dict[str, Any], *, is_surrendered: bool
) -> None:
    register.has({A01: 40_000})
    register.issue()
    if is_surrendered:
        register.do(DEPOSITOR, "surrender", FIRST)
    line: dict[str, Any] = SOFAS | {"bin": "Z-09"} | other
    there = StockKey(WAREHOUSE, AFFILIATE, line["sku"], "Z-09", line["unit"])
    register.has({A01: 0, there: line["quantity_milli"]})
    error = why_not(register, SECOND, line, depositor=AFFILIATE, received=window(9, 10))
    assert "live receipts of SOFA-3 are short by 40000 thousandths of a piece" in error.why
    # Once the first has ended, they may.
    if not is_surrendered:
        register.do(DEPOSITOR, "surrender", FIRST)
    register.do(WAREHOUSE, "deliver", FIRST)
    register.issue(SECOND, line, depositor=AFFILIATE, received=window(9, 10))


def test_what_is_missing_of_an_sku_is_missing_in_every_spelling(register: Register) -> None:
    register.issue()
    register.missing = {"SOFA-3": 1}
    error = why_not(register, SECOND, SOFAS | {"sku": "sofa-3", "bin": "Z-09"}, received=window(9, 10))
    assert "live receipts of SOFA-3 are short by 1 thousandths" in error.why


def test_goods_that_may_have_come_from_a_warehouse_where_they_are_short_are_asked_for(register: Register) -> None:
    register.has({A01: 40_000})
    register.issue()
    register.pledge()
    la_2 = A01._replace(warehouse=OTHER_WAREHOUSE, sku="sofa-3")
    register.has({A01: 0, la_2: 40_000, la_2._replace(owner=AFFILIATE): 10_000})
    line = SOFAS | {"sku": "sofa-3"}
    error = why_not(register, ELSEWHERE, line, received=window(9, 10))
    assert error.asks
    assert clashes(error) == [("goods[0] short_elsewhere", FIRST)]
    # By whatever it is found; of another depositor nothing is known.
    register.has({A01: 40_000, la_2: 40_000, la_2._replace(owner=AFFILIATE): 10_000})
    register.missing = {"SOFA-3": 1}
    assert clashes(why_not(register, ELSEWHERE, line, received=window(9, 10))) == [("goods[0] short_elsewhere", FIRST)]
    ten = line | {"quantity_milli": 10_000}
    register.issue(ELSEWHERE, ten, depositor=AFFILIATE, received=window(3, 4))
    # Who would be harmed may consent.
    says = register.says(
        OTHER_WAREHOUSE,
        "issue",
        THERE_TOO,
        **stated(line, received=window(9, 10)),
        overrides=["goods[0] place", "goods[0] short_elsewhere"],
        reason="they came from the factory",
    )
    alone = signed(OTHER_WAREHOUSE, says | {"consents": [register.consent(AFFILIATE, says)]})
    assert register.assert_refused(alone).asks
    both = [register.consent(party, says) for party in (AFFILIATE, BANK)]
    register.take(signed(OTHER_WAREHOUSE, says | {"consents": both}))
    assert register.get(THERE_TOO).overrides == ("goods[0] place", "goods[0] short_elsewhere")


def test_live_receipts_are_never_more_than_the_stock_book_has(register: Register) -> None:
    register.has({A01: 99_999})
    register.issue()
    error = why_not(register, SECOND, SOFAS | {"quantity_milli": 60_000}, received=window(5, 6))
    assert "has 99999 thousandths of a piece of SOFA-3 for sofa-works in bin A-01" in error.why
    assert "live receipts claim 40000 of them, and this one asks for 60000" in error.why
    register.issue(SECOND, SOFAS | {"quantity_milli": 59_999}, received=window(5, 6))
    assert "claim 99999" in why_not(register, THIRD, SOFAS | {"quantity_milli": 1}, received=window(9, 10)).why
    register.do(DEPOSITOR, "surrender", FIRST, quantities_milli=[5_000])
    register.do(WAREHOUSE, "deliver", FIRST)
    register.has({A01: 94_999})
    assert "claim 94999" in why_not(register, THIRD, SOFAS | {"quantity_milli": 1}, received=window(9, 10)).why
    register.has({A01: 95_000})
    assert register.issue(THIRD, SOFAS | {"quantity_milli": 1}, received=window(9, 10)).state is State.ISSUED


def test_two_lines_of_one_stock_key_count_together(register: Register) -> None:
    register.has({A01._replace(bin="YARD"): 79_999})
    assert "asks for 80000" in why_not(register, FIRST, BOX, OTHER_BOX).why


# What comes close.


@pytest.mark.parametrize(
    ("first", "other", "stated_as", "ask"),
    [
        (SOFAS, SOFAS, {"received": window(1, 2)}, "goods[0] bin_next"),
        (SOFAS, SOFAS, {"received": window(-3, -2)}, "goods[0] bin_next"),
        (SOFAS, SOFAS, {"received": window(20, 21), "depositor": AFFILIATE}, "goods[0] place"),
        (SOFAS, SOFAS | {"bin": "A-02"}, {}, "goods[0] lot"),
        (SOFAS, BOX | {"bin": "A-01"}, {}, "goods[0] beside"),
        (BOX | {"bin": "A-01"}, SOFAS, {}, "goods[0] beside"),
        (SOFAS | {"container": "MSKU1234565"}, SOFAS | {"seal": "AB1203"}, {}, "goods[0] beside"),
        (SOFAS | {"container": "MSKU1234565"}, SOFAS | {"device": "door-1"}, {}, "goods[0] beside"),
        (SOFAS | {"seal": "AB1203", "device": "door-1"}, SOFAS | {"container": "MSKU1234565"}, {}, "goods[0] beside"),
        (SOFAS | {"seal": "AB1203"}, SOFAS | {"device": "door-1"}, {}, "goods[0] beside"),
    ],
)
def test_what_comes_close_is_asked_for_and_decided(
    register: Register, first: dict[str, Any], other: dict[str, Any], stated_as: dict[str, Any], ask: str
) -> None:
    register.issue(FIRST, first)
    register.pledge()
    error = why_not(register, SECOND, other, **stated_as)
    assert error.asks
    assert clashes(error) == [(ask, FIRST)]
    assert claiming.asked_of(register.receipts, error.clashes) == {BANK}
    says = register.says(
        WAREHOUSE, "issue", SECOND, **stated(other, **stated_as), overrides=[ask], reason="counted apart"
    )
    assert "not all have consented" in register.assert_refused(signed(WAREHOUSE, says)).why
    for party, key in ((DEPOSITOR, None), (OTHER_BANK, None), (BANK, KEYS[STRANGER])):
        register.assert_refused(signed(WAREHOUSE, says | {"consents": [register.consent(party, says, key)]}))
    without = says | {"overrides": ["goods[1] lot"]}
    assert (
        ask in register.assert_refused(signed(WAREHOUSE, without | {"consents": [register.consent(BANK, without)]})).why
    )
    register.take(signed(WAREHOUSE, says | {"consents": [register.consent(BANK, says)]}))
    assert register.get(SECOND).overrides == (ask,)


def test_a_consent_is_to_one_act_and_no_other(register: Register) -> None:
    register.issue()
    register.pledge()
    says = register.says(
        WAREHOUSE,
        "issue",
        SECOND,
        **stated(SOFAS | {"bin": "A-02"}),
        overrides=["goods[0] lot"],
        reason="counted apart",
    )
    consent = register.consent(BANK, says)
    for changed in ({"receipt": THIRD}, {"reason": "other"}, {"depositor": AFFILIATE}, stated(SOFAS | {"bin": "A-03"})):
        error = register.assert_refused(signed(WAREHOUSE, says | changed | {"consents": [consent]}))
        assert "has consented to something else" in error.why


def test_an_exact_clash_cannot_be_passed_over(register: Register) -> None:
    register.issue()
    says = register.says(WAREHOUSE, "issue", SECOND, **stated(), overrides=["goods[0] bin"], reason="counted apart")
    with_all = says | {"consents": [register.consent(DEPOSITOR, says), register.consent(BANK, says)]}
    assert not register.assert_refused(signed(WAREHOUSE, with_all)).asks


# Who may see a clash.


def test_a_clash_is_named_to_those_who_have_a_part_in_it_and_to_nobody_else(register: Register) -> None:
    register.issue(FIRST, BOX)
    register.pledge()
    error = why_not(register, ELSEWHERE, BOX, depositor=AFFILIATE)
    assert FIRST not in str(error)
    assert not any(name in str(error) for name in (DEPOSITOR, BANK))
    for party in (WAREHOUSE, DEPOSITOR, BANK):
        assert f"(receipts: {FIRST})" in life.told(register.receipts, error, party)
    for party in (OTHER_WAREHOUSE, AFFILIATE, OTHER_BANK, BUYER, ""):
        assert FIRST not in life.told(register.receipts, error, party)
        assert "(receipts: 1 of others)" in life.told(register.receipts, error, party)
    register.do(BANK, "release", FIRST)
    register.do(DEPOSITOR, "transfer", FIRST, to=BUYER)
    assert FIRST not in life.told(register.receipts, error, DEPOSITOR)
    plain = register.refuse(BUYER, "deliver", FIRST)
    assert life.told(register.receipts, plain, BUYER) == str(plain)


# Blinded marks.


def test_lenders_who_share_a_key_find_the_same_goods_and_others_find_nothing() -> None:
    key, other_key = bytes(range(32)), bytes(range(1, 33))
    goods = [GoodsLine("SOFA-3", 40_000, "piece", "A-01"), GoodsLine("S", 1, "piece", "YARD", "MSKU1234565")]
    mine = claims_of(WAREHOUSE, goods, Window(NOON_MS, NOON_MS + 2 * DAY_MS))
    theirs = claims_of(WAREHOUSE, goods[:1], Window(NOON_MS + 2 * DAY_MS, NOON_MS + 4 * DAY_MS))
    elsewhere = claims_of(OTHER_WAREHOUSE, goods[1:], Window(NOON_MS, NOON_MS + 1))
    apart = claims_of(WAREHOUSE, goods[:1], Window(NOON_MS + 9 * DAY_MS, NOON_MS + 10 * DAY_MS))
    assert len(blinded_set(mine, key) & blinded_set(theirs, key)) == 1
    assert len(blinded_set(mine, key) & blinded_set(elsewhere, key)) == 1
    assert not blinded_set(mine, key) & blinded_set(apart, key)
    assert not blinded_set(mine, key) & blinded_set(mine, other_key)
    assert len(blinded_set(mine, key)) == len(mine) == 4
    with pytest.raises(ValueError, match="at least 32 are needed"):
        blinded(mine[0], key[:31])


def test_a_blinded_mark_is_what_it_was() -> None:
    # openssl dgst -sha256 -mac HMAC -macopt hexkey:0001…1f over "pledgewatch claim 1", a zero byte and the mark.
    claim = Claim("container", "MSKU1234565", line=7)
    assert claim.text == "container:MSKU1234565"
    assert blinded(claim, bytes(range(32))) == "05a1ac3a962d36c67e5d0c56166569156c8608f2c88ca126a98b40c26aadd9ee"
    assert blinded(claim._replace(line=0), bytes(range(32))) == blinded(claim, bytes(range(32)))


def test_words_that_hold_the_sign_between_words_make_other_marks() -> None:
    one = claims_of("w", [GoodsLine("c", 1, "piece", "a|b")], Window(NOON_MS, NOON_MS + 1))
    other = claims_of("w", [GoodsLine("b|c", 1, "piece", "a")], Window(NOON_MS, NOON_MS + 1))
    escaped = claims_of("w", [GoodsLine("c", 1, "piece", "a%7cb")], Window(NOON_MS, NOON_MS + 1))
    assert len({one[0].text, other[0].text, escaped[0].text}) == 3
