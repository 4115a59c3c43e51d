"""Who logs in at the demo's console, where that is asked for (`--login`): one of each role, made up.

They log in at the development issuer, which asks for no password, so it listens to the loopback address alone, as the
demo does. As soon as there is anybody who may log in, nobody is a keeper without showing something: so the demo itself
shows a token, which is made for this one run and which only its owner may read.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from pledgewatch_sim.demo.story import BANK, CORAL, OPERATOR, OTHER_BANK
from pledgewatch_sim.warehouse.layout import DEPOSITOR

CLIENT = "pledgewatch"


class Person(NamedTuple):
    """Somebody who may log in, and as whom the book knows them."""

    id: str
    name: str
    party: str
    role: str
    facilities: tuple[str, ...] = ()

    def as_user(self, issuer: str) -> dict[str, Any]:
        """As the book has them."""
        named = {"facilities": list(self.facilities)} if self.facilities else {}
        user = {"id": self.id, "name": self.name, "party": self.party, "role": self.role}
        return {**user, **named, "subjects": [{"issuer": issuer, "subject": self.id}]}


PEOPLE = (
    Person("kim", "Kim Ode, keeper of the book", "registrar", "keeper"),
    Person("anna", "Anna Kern, Bank One (lender)", BANK, "lender"),
    Person("otto", "Otto Wang, Bank Two (lender of nothing yet)", OTHER_BANK, "lender"),
    Person("sofia", "Sofia Reis, Sofa Works (borrower)", DEPOSITOR, "borrower"),
    Person("emil", "Emil Costa, the exporter of coral (borrower)", f"exporter-{CORAL.line}", "borrower"),
    Person("olga", "Olga Lind, Harbour Line (operator)", OPERATOR, "operator"),
    Person("wei", "Wei Chen, warehouse la-3", "la-3", "warehouse"),
    Person("ines", "Ines Roth, insurer of coral", "insurer", "insurer", (CORAL.line,)),
    Person("axel", "Axel Bern, auditor of coral", "auditor", "auditor", (CORAL.line,)),
)


class Keeper(httpx2.Auth):
    """The demo asks its cloud as the keeper, and shows nobody else the token."""

    def __init__(self, url: str, token: Path) -> None:
        self._host = httpx2.URL(url).netloc
        self._token = token

    def auth_flow(self, request: httpx2.Request) -> Iterator[httpx2.Request]:  # type: ignore[override]
        """The request, with the token where it is for the cloud."""
        if request.url.netloc == self._host:
            request.headers["authorization"] = f"Bearer {self._token.read_text(encoding='ascii').strip()}"
        yield request
