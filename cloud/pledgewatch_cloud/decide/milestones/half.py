"""The milestone half: which milestones an entry may have touched, judged one after the other, and what is said of them.

A milestone may wait for another's release, so whatever changes that is followed until nothing moves any more; they
never wait for each other in a circle (see terms), so that comes to an end.
"""

from collections.abc import Iterable, Mapping

from pledgewatch_cloud.decide.batch import Amendment, Booked, DeviceClaim, Entry, Submission, Tick, Waiver
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.log import Log
from pledgewatch_cloud.decide.milestones import judge as judge_module
from pledgewatch_cloud.decide.milestones.judge import Found, ValueOf
from pledgewatch_cloud.decide.milestones.lifecycle import (
    MOVES,
    ON_ITS_WAY,
    RELEASING,
    UNMET,
    Memo,
    MilestoneState,
    News,
)
from pledgewatch_cloud.decide.milestones.shown import Known
from pledgewatch_cloud.decide.stretches import NEVER
from pledgewatch_cloud.decide.trade.notice import Notice


def judge(
    known: Known,
    entry: Entry,
    memos: Mapping[str, Memo],
    touched: Iterable[str],
    revalued: Iterable[str],
    reheld: Iterable[str],
    fresh: Iterable[Notice],
    value_of: ValueOf,
    log: Log,
) -> dict[str, Memo]:
    """What is remembered of milestones after an entry.

    `touched` are the assets of which something was said, `revalued` the facilities whose base is another one,
    `reheld` the lots that stand otherwise by their electronic receipts, `fresh` the notices that are new.
    """
    after = dict(memos)
    known = known._replace(memos=after)
    book = known.book
    waiting = sorted(_concerned(known, entry, {*touched, *_assets_of(book, reheld)}, revalued, fresh))
    while waiting:
        others = set[str]()
        for one in waiting:
            before = after.get(one)
            memo, found = _judged(known, entry, one, before or Memo(""), value_of)
            after[one] = memo if found is None else _told(memo, found, log)
            if one not in book.milestones and memo.state in UNMET:
                del after[one]  # nothing was sent of it
            if _is_released(before) != _is_released(memo):
                others.update(book.milestones_after(one))
        waiting = sorted(others)
    return after


def booking_news(memo: Memo, one: Booked) -> News | None:
    """What a word about a message says of its release, or None where it says nothing new.

    Whoever pays and takes a message that releases has booked it, unless they say otherwise. That the newest of those is
    not booked counts once.
    """
    newest = memo.releases[-1][0] if memo.releases else ""
    if one.release == "none":
        is_new = one.message == newest and memo.unbooked != newest
        news = News.UNBOOKED if newest and is_new else None
    else:
        is_releasing = any(one.message == message for message, _ in memo.releases)
        news = News.BOOKED if one.release == "booked" or is_releasing else None
    return news if news and (memo.state, news) in MOVES else None


def said_of(milestone: str, memo: Memo, release: str, by: str, why: str) -> Booked | None:
    """A person's word about a release, which is one about its newest message; None where it says nothing new."""
    if not memo.releases:
        return None
    word = Booked(memo.releases[-1][0], milestone, release, by, why)
    return word if booking_news(memo, word) else None


def nothing_new(memo: Memo, release: str) -> str:
    """Why a person's word about a release says nothing new, in words."""
    if not memo.releases:
        return f"it is {memo.state}, and nothing was sent of its release: nobody can have booked it"
    if release == "booked":
        return f"it is {memo.state}: that its release is booked was said before"
    if memo.released_ms != NEVER:
        return f"it is {memo.state}: that its release is booked was said before, and no word takes that back"
    return f"it is {memo.state}: that {memo.releases[-1][0]} is not booked was said before"


def _concerned(
    known: Known,
    entry: Entry,
    touched: Iterable[str],
    revalued: Iterable[str],
    fresh: Iterable[Notice],
) -> set[str]:
    """The milestones that an entry may have changed, each once."""
    book, memos, notices = known.book, known.memos, known.notices
    found = set[str]()
    match entry.content:
        case Amendment() | DeviceClaim():
            return {*book.milestones, *memos}
        case Waiver(milestone=one) | Booked(milestone=one):
            found.add(one)
        case Submission():
            told = [one for new in fresh for one in (new, *notices.touched_by(new))]
            found |= {milestone for one in told for milestone in book.milestones_about(one)}
        case Tick():
            found |= {one for one, memo in memos.items() if memo.turns_ms <= entry.recorded_at_ms}
        case _:
            pass
    for asset in touched:
        found.update(book.milestones_of_asset(asset))
    for facility in revalued:
        found.update(book.milestones_by_value(facility))
    return found


def _assets_of(book: Book, lots: Iterable[str]) -> set[str]:
    """What some lots are in, as far as the book has them."""
    return {book.lots[one].asset for one in lots if one in book.lots}


def _judged(known: Known, entry: Entry, one: str, memo: Memo, value_of: ValueOf) -> tuple[Memo, Found | None]:
    milestone, word = known.book.milestones.get(one), entry.content
    if milestone is None:
        if not isinstance(word, Booked):
            return judge_module.without_the_book(known, one, memo, News.REFUTED)
        news = booking_news(memo, word)
        return _said(*judge_module.without_the_book(known, one, memo, news), memo, word) if news else (memo, None)
    match word:
        case Waiver(name, by, why) if name == one:
            return judge_module.waived(known, milestone, memo, by, why, value_of)
        case Booked(milestone=name) if name == one:
            news = booking_news(memo, word)
            return _said(*judge_module.moved(known, milestone, memo, news), memo, word) if news else (memo, None)
        case _:
            return judge_module.judge(known, milestone, memo, value_of)


def _said(after: Memo, found: Found | None, before: Memo, word: Booked) -> tuple[Memo, Found | None]:
    """With who has said so of which message. What a person says is booked is not sent any more, if it waits still."""
    if found is None:
        return after, None
    if word.release == "none":
        after = after._replace(unbooked=before.releases[-1][0])
        if not word.by and before.state not in ON_ITS_WAY:
            return after, None  # it was taken back, and nothing has moved: as it should be
    elif before.released_ms == NEVER:
        after = after._replace(payer=word.payer)
    facts = [*found.event.facts, ("message", word.message)]
    if word.by:
        facts += [("said_by", word.by), ("said_why", word.why)]
        if word.release == "booked" and before.state in ON_ITS_WAY:
            found = found._replace(withdrawn=word.message)
    return after, found._replace(event=found.event._replace(facts=tuple(sorted(facts))))


def _told(memo: Memo, found: Found, log: Log) -> Memo:
    """What is remembered once it is said and the message is written."""
    said = log.say(found.event)
    if found.withdrawn:
        log.withdraw(found.withdrawn)
    if found.message is None:
        return memo
    sent = log.send(found.facility, said.id, found.message, found.milestone, found.event.at_ms, found.data)
    if found.message in RELEASING:
        return memo._replace(releases=(*memo.releases, (sent.id, sent.sequence)))
    return memo


def _is_released(memo: Memo | None) -> bool:
    return memo is not None and memo.state is MilestoneState.RELEASED
