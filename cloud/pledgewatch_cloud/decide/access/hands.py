"""Whose an alert is: who takes it on, says something of it, puts it aside.

An alert about goods is of those alone who may see the goods, for goods that are not pledged alike share none. One
about no goods (a silent device, a place that is doubted) is one for all who have something in what it is about, be they
banks that must know nothing of each other. What one of them did about it would be seen by the others: so it is for
those alone who can mend it, the operator of the device, a warehouse at its own site, and the keeper of the book.
"""

from collections.abc import Mapping

from pledgewatch_cloud.decide.access.scope import Viewer
from pledgewatch_cloud.decide.access.users import UNCHANGING, Role
from pledgewatch_cloud.decide.alerts import Alert
from pledgewatch_cloud.decide.book import Book
from pledgewatch_cloud.decide.causes import AssetFacts

_MENDING = frozenset({Role.OPERATOR, Role.WAREHOUSE})


def hands(book: Book, facts: Mapping[str, AssetFacts], alert: Alert) -> frozenset[str]:
    """The parties whose an alert about no goods is, of those that the book has: the operators of the devices that its
    causes are about (where that is none, of those at the asset that are not retired), and the warehouses whose sites
    these are at. None of an alert about goods."""
    if alert.pledge:
        return frozenset()
    found = set[str]()
    for asset in alert.assets:
        devices = [one.device for one in book.devices_of_asset(asset) if not one.retired]
        for cause in map(facts.get(asset, AssetFacts()).causes.get, alert.causes):
            if cause is not None:
                about = map(book.installations.get, [cause.device] if cause.device else devices)
                found |= {one.operator for one in about if one is not None}
        found |= {book.zones[asset][0].id} if asset in book.zones else set()
        found |= {one.id for one in book.warehouses.values() if asset in one.gates}
    return frozenset(found)


def is_in_hands(viewer: Viewer, of: frozenset[str], alert: Alert) -> bool:
    """Whether an alert that somebody sees is theirs; `of` are the parties whose it is."""
    if viewer.role is Role.KEEPER:
        return True
    if alert.pledge:
        return viewer.role not in UNCHANGING
    return viewer.role in _MENDING and viewer.party in of
