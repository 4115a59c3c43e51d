"""The journal of seeing.py with an authority for devices and the key of care: who may invite what, and see of it."""

from pathlib import Path
from typing import Any

from api_cloud import shown
from caring import CARE_KEY
from claiming import Claimant, said_in
from httpx2 import Response
from seeing import USERS, Seeing

from pledgewatch_cloud.identity import authority
from pledgewatch_cloud.identity.carer import Carer
from pledgewatch_cloud.identity.registrar import Broker, Registrar, Terms


class Inviting(Seeing):
    """Both are there, and time is the journal's for them, too."""

    def __init__(self, folder: Path, **others: Any) -> None:
        super().__init__(folder, **others)
        clock, made = self.keeping.clock, folder / "authority"
        made.mkdir()
        signs = authority.create(made / "ca.pem", made / "ca.key", "test authority", 400, clock.now_ms())
        broker = Broker("broker.example", 8_883, "the broker's authority")
        terms = Terms("https://cloud.example:8420", "cd" * 32, broker, "ab" * 32, 90, frozenset({"cloud"}))
        service = self.client.app.state.service
        registrar = Registrar(self.writer, signs, terms, clock=clock, journal_clock=clock)
        object.__setattr__(service, "registrar", registrar)
        object.__setattr__(service, "carer", Carer(CARE_KEY, clock))

    def post(self, user: str, path: str, **body: Any) -> Response:
        """What a user is answered."""
        return self.client.post(path, headers=shown(USERS[user].key), json=body)

    def invite(self, user: str, device: str, **more: Any) -> Response:
        """What a user is answered who invites a device."""
        return self.post(user, "/devices/invitations", device=device, **more)

    def claim(self, invited: Response, *, seed: int = 7) -> Response:
        """What the device is answered that claims by an invitation."""
        assert invited.status_code == 201, invited.text
        said = said_in(invited.json()["claim"])
        return self.client.post("/devices/claims", json=Claimant(said["device"], seed=seed).claim(said["code"]))
