"""What is committed for what somebody asks: one function for each thing that can be asked.

    the state, and what is asked ─► the draft of an entry, or None where that would say nothing new

`Spine.commit` gives it the state as it stands, and nothing comes in between it and the entry: what it has found out is
so when the entry is decided. What cannot be taken is refused with the error of what it is about: the book, the market,
the notices, stock, receipts or counts.
Readings and ticks are not asked for by anybody (Spine.take, Spine.tick).
"""

import json
from base64 import b64encode
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from pledgewatch_cloud.decide import alerts, care, movements
from pledgewatch_cloud.decide import book as book_module
from pledgewatch_cloud.decide import identity_acts as acts
from pledgewatch_cloud.decide.alert_notes import Comment, Silence
from pledgewatch_cloud.decide.batch import (
    Accesses,
    Acknowledgement,
    AlertComment,
    AlertSilence,
    Amendment,
    Booked,
    CareAnswer,
    CareCommand,
    CareSettings,
    Content,
    DeviceClaim,
    DeviceConfirmation,
    DeviceInvitation,
    DeviceMisuse,
    DeviceRenewal,
    DeviceRevocation,
    Moved,
    Quotation,
    SignedAct,
    SignedCount,
    StockReport,
    Submission,
    Waiver,
)
from pledgewatch_cloud.decide.collateral import bases
from pledgewatch_cloud.decide.collateral.as_of import sheet_now
from pledgewatch_cloud.decide.identity_book import Issued
from pledgewatch_cloud.decide.milestones.half import booking_news, said_of
from pledgewatch_cloud.decide.milestones.judge import waived
from pledgewatch_cloud.decide.milestones.shown import known_of
from pledgewatch_cloud.decide.state import State
from pledgewatch_cloud.decide.step import WorkedOut
from pledgewatch_cloud.decide.stock.rows import Report
from pledgewatch_cloud.decide.trade import submission
from pledgewatch_cloud.decide.warehouse import handed_in
from pledgewatch_cloud.decide.warehouse.handed_in import Document


class Draft(NamedTuple):
    """What an entry is to hold. `worked_out`: what it comes to (see step.prepare), where that was found out already."""

    content: Content
    worked_out: WorkedOut | None = None


class Shown(NamedTuple):
    """What a device shows that claims an identity: the digest of its code, its key, the highest epoch it knows of."""

    device: str
    code_sha256: str
    public_key: str
    epoch: int


class Sent(Protocol):
    """A message as whoever delivers it knows it."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def body(self) -> bytes:
        """What was sent, as decide/messages writes it."""
        ...


def amend(state: State, document: dict[str, Any]) -> Draft | None:
    """Amend the book; None where that changes nothing. Raises BookError where it is refused."""
    after = book_module.amend(state.book, document)
    acts.check_gateways(state.book, after, state.identities)
    return None if book_module.is_same(after, state.book) else Draft(Amendment(document), after)


def amend_from_file(state: State, file: str, sha256: str, document: dict[str, Any]) -> Draft | None:
    """Amend the book by a book file; None where just this content was the last to be taken from that file.

    So a restart brings nothing back that was amended since. Raises BookError where it is refused.
    """
    if state.files.get(file) == sha256:
        return None
    after = book_module.amend(state.book, document)
    acts.check_gateways(state.book, after, state.identities)
    return Draft(Amendment(document, file, sha256), after)


def move(state: State, facility: str, document: dict[str, Any]) -> Draft | None:
    """Say that money has moved on a facility; None where all of it is known. Raises BookError where it is refused; see
    decide/movements."""
    after = movements.moved(state.book, facility, document)
    return None if after is state.book else Draft(Moved(facility, document), after)


def quote(state: State, document: dict[str, Any]) -> Draft | None:
    """Quote the market; None where all of it is known. Raises MarketError where it is refused."""
    return None if state.market.quoted(document) == state.market else Draft(Quotation(document))


def acknowledge(state: State, alert: str, by: str) -> Draft | None:
    """Take an alert on; None where no alert of that id is open."""
    known = [one for one in state.alerts.values() if one.id == alert]
    return Draft(Acknowledgement(alert, by)) if known and alerts.acknowledge(known[0], by, 0)[1] else None


def comment(state: State, alert: str, by: str, party: str, text: str) -> Draft | None:
    """Say something of an alert; None where nobody was told of one of that id."""
    known = next((one for one in state.alerts.values() if one.id == alert), None)
    said = Comment(0, by, party, text)
    return (
        None if known is None or alerts.comment(known, said) is known else Draft(AlertComment(alert, by, party, text))
    )


def silence(state: State, alert: str, by: str, party: str, why: str, until_ms: int) -> Draft | None:
    """Silence an alert for a party until a moment, or with LIFTED no more; None where that changes nothing: no alert of
    that id stands, or it is not silenced for them."""
    known = next((one for one in state.alerts.values() if one.id == alert), None)
    asked = Silence(state.recorded_at_ms, by, party, why, until_ms)
    if known is None or alerts.silence(known, asked) is known:
        return None
    return Draft(AlertSilence(alert, by, party, why, until_ms))


def submit(state: State, sender: str, form: str, text: str) -> Draft | None:
    """Hand in what a sender says; None where all of it is known. Raises NoticeError where it is refused."""
    notices = submission.read(form, sender, text)
    submission.check(state.book.senders, sender, notices, state.notices)
    return Draft(Submission(sender, form, text)) if state.notices.fresh(notices) else None


def report(state: State, source: str, form: str, data: bytes, received_ms: int) -> Draft | None:
    """Report what a stock system says; None where all of it is known. Raises StockError where nothing is taken."""
    return reported(state, handed_report(source, form, data, received_ms))[0]


def handed_report(source: str, form: str, data: bytes, received_ms: int) -> StockReport:
    """A report as its entry holds it."""
    return StockReport(source, form, b64encode(data).decode("ascii"), received_ms)


def reported(state: State, handed: StockReport, document: Document | None = None) -> tuple[Draft | None, Report]:
    """See report; and with the draft what is new and taken, and what is left aside with its faults. `document` as in
    handed_in.report_of."""
    found = handed_in.report_of(state.book, state.stock, handed, document)
    return Draft(handed, found) if found.rows or found.snapshots else None, found


def act(state: State, text: str, heard_ms: int) -> Draft | None:
    """Do an act on a receipt; None where it is its newest already. Raises ActError where it is refused."""
    handed = SignedAct(text, heard_ms)
    after = handed_in.acted(state, handed)
    return None if after is state.receipts else Draft(handed, after)


def count(state: State, text: str, heard_ms: int) -> Draft | None:
    """Say what was counted in a warehouse; None where it is known. Raises CountError where it is refused."""
    handed = SignedCount(text, heard_ms)
    found = handed_in.count_of(state, handed)
    return None if state.watch.knows(found) else Draft(handed, found)


def note_asked(_state: State, rows: list[list[Any]]) -> Draft | None:
    """Note what users have asked; None where that is nothing."""
    return Draft(Accesses(rows)) if rows else None


def waive(state: State, milestone: str, by: str, why: str) -> Draft | None:
    """Waive what a milestone asks for; None where there is nothing to waive: no such milestone, its money asked for
    already, sent under other terms, or an amount that is not known."""
    known, memo = state.book.milestones.get(milestone), state.milestones.get(milestone)
    if known is None or memo is None:
        return None
    value_of = partial(bases.value_of, sheet_now(state, state.recorded_at_ms))
    _, found = waived(known_of(state), known, memo, by, why, value_of)
    return None if found is None else Draft(Waiver(milestone, by, why))


def booked(state: State, message: Sent, release: str, by: str = "", why: str = "", payer: str = "") -> Draft | None:
    """Say that whoever pays has booked a message; None where that says nothing new of a milestone.

    `release` is what they said of the release itself, `by` and `why` who says so in their stead, `payer` the endpoint
    that said so itself; see Booked.
    """
    data = json.loads(message.body)["data"]
    milestone = data.get("milestone", "")
    memo = state.milestones.get(milestone)
    # Who says that a release that was taken back is not booked, says so of the message that had asked for it.
    about = data.get("release_message", message.id) if release == "none" else message.id
    word = Booked(about, milestone, release, by, why, payer)
    return None if memo is None or booking_news(memo, word) is None else Draft(word)


def say_booked(state: State, milestone: str, release: str, by: str, why: str) -> Draft | None:
    """Say as a person that a milestone's release is `booked`, or not (`none`); None where that says nothing new (see
    half.nothing_new), or no such milestone is known."""
    memo = state.milestones.get(milestone)
    word = None if memo is None else said_of(milestone, memo, release, by, why)
    return None if word is None else Draft(word)


def invite_device(state: State, asked: DeviceInvitation) -> Draft | None:
    """Invite a device to claim an identity. Raises IdentityError, BookError where it is refused."""
    acts.invited(state.book, state.identities, asked)
    acts.check_waiting(state.identities, asked)
    return Draft(asked)


def claim_device(state: State, shown: Shown, issued: Issued, at_ms: int, fitted_ms: int) -> Draft | None:
    """Claim an identity, for which this certificate was made; None where this device has it already. Raises
    IdentityError where the code opens nothing, or what it stands for has changed."""
    device, code_sha256, public_key, said_epoch = shown
    book, identities = state.book, state.identities
    if acts.answered(book, identities, device, code_sha256, public_key, issued.key_sha256) is not None:
        return None
    invitation = identities.invitations.get(device)
    if invitation is None or invitation.code_sha256 != code_sha256:
        raise acts.unknown_code()
    acts.check_claim(book, identities, invitation, public_key, at_ms)
    document = acts.document_of(book, invitation, public_key, fitted_ms)
    epoch = acts.epoch_of(state.devices, identities, device, said_epoch)
    claim = DeviceClaim(device, code_sha256, document, public_key, epoch, *issued, at_ms)
    acts.claimed(book, identities, claim)
    return Draft(claim)


def renew_device(state: State, device: str, of: str, issued: Issued, at_ms: int, signed_ms: int) -> Draft | None:
    """Renew the certificate of this number, as was signed by the device's clock then; None where the device has one for
    this key already, whose answer it has lost. Raises IdentityError, TooSoonError."""
    identity = state.identities.of(device)
    shown = acts.certificate_of(state.book, identity, of, at_ms)
    newest = identity.certificates[-1]
    if newest != shown and newest.key_sha256 == issued.key_sha256 and newest.not_after_ms > at_ms:
        return None
    acts.check_pace(identity, shown, issued.key_sha256, at_ms)
    return Draft(DeviceRenewal(device, of, *issued, at_ms, signed_ms))


def recover_device(state: State, device: str, newest: str, shown: Issued, at_ms: int, signed_ms: int) -> Draft | None:
    """Take a certificate for a device's that the journal does not know, and that was made after the one of number
    `newest`; None where that is not the newest known any more. Raises IdentityError."""
    certificates = state.identities.of(device).certificates
    if not certificates or certificates[-1].serial != newest:
        return None
    one = DeviceRenewal(device, shown.serial, *shown, at_ms, signed_ms)
    acts.recovered(state.book, state.identities, one)
    return Draft(one)


def confirm_device(state: State, device: str, serial: str, at_ms: int, signed_ms: int) -> Draft | None:
    """Note that a device has the certificate of this number in force, as was signed by its clock then; None where none
    before it counts. Raises IdentityError."""
    one = DeviceConfirmation(device, serial, at_ms, signed_ms)
    return None if acts.confirmed(state.book, state.identities, one) is state.identities else Draft(one)


def note_misuse(state: State, device: str, serial: str, signed_ms: int, at_ms: int) -> Draft | None:
    """Note that a certificate was shown that was replaced; None where that is known, or was not its case, or where it
    had not been replaced yet when that was signed: a request of the device itself that came late, or twice."""
    if acts.came_late(state.identities.of(device), serial, signed_ms):
        return None
    one = DeviceMisuse(device, serial, at_ms)
    return None if acts.misused(state.book, state.identities, one) is state.identities else Draft(one)


def note_unknown(state: State, device: str, serial: str, at_ms: int) -> Draft | None:
    """Note that somebody was refused by a certificate of ours that is not known; None where it is, or that is noted."""
    one = DeviceMisuse(device, serial, at_ms, acts.UNKNOWN)
    return None if acts.misused(state.book, state.identities, one) is state.identities else Draft(one)


def note_overuse(state: State, device: str, serial: str, at_ms: int) -> Draft | None:
    """Note that somebody asks by a certificate as no agent does; None where that is known, or it does not count."""
    one = DeviceMisuse(device, serial, at_ms, acts.OVERUSED)
    return None if acts.misused(state.book, state.identities, one) is state.identities else Draft(one)


def revoke_device(state: State, device: str, by: str, why: str, at_ms: int) -> Draft | None:
    """Take a device's identity or its invitation away; None where it is. Raises IdentityError where there is neither
    such a device nor an invitation."""
    if state.identities.of(device).revoked_ms and device not in state.identities.invitations:
        return None
    revocation = DeviceRevocation(device, by, why, at_ms)
    acts.revoked(state.book, state.identities, revocation)
    return Draft(revocation)


def set_device(
    state: State, asked: CareSettings, sign: Callable[[CareSettings], bytes], *, again: bool = False
) -> Draft | None:
    """Say what a device is to be set to; None where just that is said already, and it has neither refused it nor left
    it aside, unless it is to be said `again`. Raises CareError. `asked` has no version yet, and `sign` gives the bytes
    that the device is sent."""
    known = state.care.get(asked.device)
    setting = None if known is None else known.setting
    is_same = setting is not None and setting.asked.toml == asked.toml
    if setting is not None and is_same and not again and setting.said.became not in care.NOT_IN_FORCE:
        is_over = setting.is_over(asked.at_ms)
        if not is_over:
            return None
    return Draft(care.asked_settings(state.book, state.care, asked, sign))


def set_again(
    state: State, device: str, claimed_ms: int, at_ms: int, sign: Callable[[CareSettings], bytes]
) -> Draft | None:
    """Say to a device that has claimed what it had done, or postponed, before that moment, in a version of its own and
    for as long as it was said then: its card may be another, which has nothing of it. None where there is no such
    thing, it has expired, or its gateway is set instead. Raises CareError."""
    known, installed = state.care.get(device), state.book.installations.get(device)
    setting = None if known is None else known.setting
    if setting is None or installed is None or installed.retired or installed.gateway:
        return None
    asked, said = setting
    if said.became not in care.SAID_AGAIN or said.at_ms >= claimed_ms or setting.is_over(at_ms):
        return None
    anew = asked._replace(at_ms=at_ms, until_ms=at_ms + asked.until_ms - asked.at_ms)
    return Draft(care.asked_settings(state.book, state.care, anew, sign))


def command_device(state: State, asked: CareCommand, sign: Callable[[CareCommand], bytes]) -> Draft:
    """Say what a device is to do once. Raises CareError. `asked` has no id yet, and `sign` gives the bytes that the
    device is sent."""
    return Draft(care.asked_command(state.book, state.care, asked, sign))


def hear_answer(state: State, answer: CareAnswer) -> Draft | None:
    """Note what a device says has become of settings or of a command; None where that is not asked, or known."""
    return Draft(answer) if care.is_news(state.care, answer) else None
