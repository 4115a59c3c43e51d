"""A certificate out of a journal: a base, what each of its ineligibles rests on, and the prices and rates behind it."""

from pledgewatch_cloud.certificate.model import Certificate, Stated
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.collateral.grounds import marks_of
from pledgewatch_cloud.decide.currencies import exponent
from pledgewatch_cloud.journal.store import Store
from pledgewatch_cloud.spine.base_at import BaseAt


def certificate_of(store: Store, found: BaseAt, stated: Stated | None) -> Certificate:
    """The certificate of a base that was found in a journal."""
    facility = found.asked.book.facilities[found.facility]
    return Certificate(
        journal=store.journal,
        entry=found.entry,
        state_digest=state_module.digest(found.known),
        as_of_ms=found.as_of_ms,
        known_at_ms=found.known_at_ms,
        facility=found.facility,
        lender=facility.lender,
        borrower=facility.borrower,
        currency=found.currency,
        exponent=exponent(found.currency),
        base=found.base,
        lines=tuple(found.lines),
        evidence=found.grounds,
        marks=tuple(marks_of(found.asked)),
        stated=stated,
    )
