"""Whose an alert is: who takes it on, says something of it, puts it aside.

An alert about goods is of those alone who may see the goods, for goods that are not pledged alike share none. One
about no goods (a silent device, a place that is doubted) is one for all who have something in what it is about, be they
banks that must know nothing of each other. What one of them did about it would be seen by the others: so it is for
those alone who can mend it, the operator of the device, a warehouse at its own site, and the keeper of the book. What
is in other hands is another alert, of which an operator or a warehouse is told nothing.
"""

from collections.abc import Mapping

from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import UNCHANGING, Role
from pledgewatch_cloud.decide.alerts import Alert
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.causes import AssetFacts
from pledgewatch_cloud.decide.hands import hands_of

MENDING = frozenset({Role.OPERATOR, Role.WAREHOUSE})
"""Who sees of the alerts about no goods those that are in their hands, and no others."""


def hands(book: Book, facts: Mapping[str, AssetFacts], alert: Alert) -> frozenset[str]:
    """The parties whose an alert about no goods is, by what of the book and of its causes is seen (decide/hands.py).
    None of an alert about goods."""
    if alert.pledge:
        return frozenset()
    found = set[str]()
    for asset in alert.assets:
        for cause in map(facts.get(asset, AssetFacts()).causes.get, alert.causes):
            found |= hands_of(book, asset, cause.device) if cause is not None else set()
    return frozenset(found)


def is_in_hands(viewer: Viewer, of: frozenset[str], alert: Alert) -> bool:
    """Whether an alert that somebody sees is theirs; `of` are the parties whose it is."""
    if viewer.role is Role.KEEPER:
        return True
    if alert.pledge:
        return viewer.role not in UNCHANGING
    return viewer.role in MENDING and viewer.party in of
