"""A journal that is put back from an older copy: devices that have renewed since stay themselves, and who was revoked
since stays out."""

import asyncio
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from api_cloud import assert_problem
from builders import book_document
from claiming import DAY_MS, WORLD_MS, Claimant, ClaimCloud, request_pem
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from httpx2 import Response

from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide import state as state_module
from pledgewatch_cloud.decide.events import EventType
from pledgewatch_cloud.decide.identity_book import Identity
from pledgewatch_cloud.identity import authority
from pledgewatch_cloud.identity.broker_files import BrokerFiles
from pledgewatch_cloud.spine.spine import recover

BOX, ASSET = "box-1", {"operator": "harbour-line", "asset": "asset-container-1"}
RENEWALS, CONFIRMATIONS = "/devices/renewals", "/devices/confirmations"


class Copied:
    """A cloud whose folder is copied and put back; each start is at a day of the world."""

    def __init__(self, folder: Path) -> None:
        self.live, self.copy, self.broker = folder / "live", folder / "copy", folder / "broker"
        self.live.mkdir()
        self.broker.mkdir()
        self.box = Claimant(BOX, seed=21)
        self.cloud = self._at(0)
        self.cloud.cloud.spine.commit(drafts.amend, book_document(self.cloud.cloud.device))
        self.files = self._files()
        self.cloud.claimed(self.box, self.cloud.invite(BOX, **ASSET))

    def start(self, day: float, *, put_back: bool = False) -> None:
        self.cloud.cloud.close()
        if put_back:
            shutil.rmtree(self.live)
            shutil.copytree(self.copy, self.live)
        self.cloud = self._at(day)
        self.files = self._files()

    def back_up(self) -> None:
        self.cloud.cloud.close()
        shutil.copytree(self.live, self.copy)
        self.start(0)

    def ask(self, path: str, body: dict[str, Any]) -> Response:
        return self.cloud.post(path, body)

    def renew(self) -> Response:
        """For another key, which the device has in force from then on."""
        key = ec.generate_private_key(ec.SECP256R1())
        answer = self.ask(RENEWALS, self.box.renewal(self.cloud.world.at_ms, key=key))
        if answer.status_code == 201:
            self.box.certificate, self.box.tls = answer.json()["certificate"], key
        return answer

    def confirm(self) -> Response:
        return self.ask(CONFIRMATIONS, self.box.confirmation(self.cloud.world.at_ms))

    @property
    def identity(self) -> Identity:
        return self.cloud.cloud.writer.state.identities.of(BOX)

    def is_heard(self) -> bool:
        state = self.cloud.cloud.writer.state
        heard = state.identities.speakers(state.book.installations.values(), self.cloud.world.at_ms)
        return BOX in {one.device for one in heard}

    def alarms(self) -> list[dict[str, Any]]:
        said = self.cloud.cloud.store.events()
        return [dict(one.event.facts) for one in said if one.event.type is EventType.TAMPER_SUSPECTED]

    def listed(self) -> set[str]:
        """The numbers on the broker's list, once it was written anew."""
        asyncio.run(self.files.keep())
        return {f"{one.serial_number:x}" for one in x509.load_pem_x509_crl((self.broker / "crl.pem").read_bytes())}

    def _at(self, day: float) -> ClaimCloud:
        at_ms = WORLD_MS + round(day * DAY_MS)
        return ClaimCloud(self.live, world_ms=at_ms, at_ms=at_ms)

    def _files(self) -> BrokerFiles:
        async def reload() -> None:
            pass

        one, writer = self.cloud, self.cloud.cloud.writer
        files = BrokerFiles(writer, one.authority, self.broker, one.world, reload, cloud="cloud", health="")
        one.registrar._forgotten = files.forgotten
        return files


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Copied]:
    one = Copied(tmp_path)
    yield one
    one.cloud.cloud.close()


def test_a_device_that_has_renewed_since_is_itself_again_once_it_asks(copied: Copied) -> None:
    copied.back_up()
    first = copied.identity.certificates[0]
    thief = Claimant(BOX, seed=21)
    thief.certificate, thief.tls = copied.box.certificate, copied.box.tls
    copied.start(60)
    assert copied.renew().status_code == 201
    assert copied.confirm().json()["changed"]
    lost = authority.serial_of(authority.read_certificate(copied.box.certificate))
    copied.start(91, put_back=True)
    assert [one.serial for one in copied.identity.certificates] == [first.serial]
    assert not copied.is_heard(), "by what the journal knows its certificate has ended"
    assert copied.renew().status_code == 201
    assert copied.is_heard()
    newest = authority.serial_of(authority.read_certificate(copied.box.certificate))
    assert [one.serial for one in copied.identity.certificates] == [lost, newest]
    assert copied.confirm().json()["changed"]
    assert [one.serial for one in copied.identity.certificates] == [newest]
    assert copied.alarms() == [{"device": BOX, "kind": "unknown_certificate"}]
    assert_problem(copied.ask(RENEWALS, thief.renewal(copied.cloud.world.at_ms)), 403)
    copied.start(151)
    assert copied.renew().status_code == 201
    assert len(copied.alarms()) == 1
    state = copied.cloud.cloud.writer.state
    assert state_module.to_bytes(recover(copied.cloud.cloud.store)) == state_module.to_bytes(state)


def test_one_that_is_young_counts_all_the_same_and_the_one_before_until_it_is_confirmed(copied: Copied) -> None:
    copied.back_up()
    copied.start(60)
    copied.renew()
    copied.start(61, put_back=True)
    before = [one.serial for one in copied.identity.certificates]
    assert_problem(copied.renew(), 429)
    lost = authority.serial_of(authority.read_certificate(copied.box.certificate))
    assert [one.serial for one in copied.identity.certificates] == [*before, lost]
    assert copied.confirm().json()["changed"]
    assert [one.serial for one in copied.identity.certificates] == [lost]
    assert [one.serial for one in copied.identity.revoked] == before


def test_what_is_confirmed_first_is_known_by_that(copied: Copied) -> None:
    copied.back_up()
    copied.start(60)
    copied.renew()
    copied.start(60.5, put_back=True)
    assert copied.confirm().json()["changed"]
    assert not copied.confirm().json()["changed"]
    assert len(copied.alarms()) == 1


def unknown(copied: Copied, signs: authority.Authority | None = None, *, days: float = 0.0, good: int = 5) -> Claimant:
    """One who has the key of a certificate in the device's name, made so many days from now and good for some, of which
    the journal knows nothing."""
    one, made_ms = Claimant(BOX, seed=29), copied.cloud.world.at_ms + round(days * DAY_MS)
    request = authority.read_request(request_pem(one.tls, BOX), BOX)
    signs = signs or copied.cloud.authority
    one.certificate = signs.shown(signs.issue(BOX, request, good, made_ms))
    return one


def test_a_copied_card_is_told_of_also_where_its_certificate_was_replaced_after_the_copy(copied: Copied) -> None:
    copied.back_up()
    thief = Claimant(BOX, seed=21)
    thief.certificate, thief.tls = copied.box.certificate, copied.box.tls
    copied.start(60)
    copied.renew()
    copied.confirm()
    assert len(copied.listed()) == 1
    copied.start(61, put_back=True)
    assert copied.confirm().json()["changed"], "so the journal knows again that the one before was replaced"
    copied.cloud.world.at_ms += 60_000
    for path, body in ((RENEWALS, thief.renewal), (CONFIRMATIONS, thief.confirmation)):
        assert_problem(copied.ask(path, body(copied.cloud.world.at_ms)), 403)
    assert [one["kind"] for one in copied.alarms()] == ["unknown_certificate", "replaced_certificate"]


def test_a_device_that_a_thief_has_outrun_is_refused_and_that_is_told(copied: Copied) -> None:
    copied.back_up()
    thief = Claimant(BOX, seed=21)
    thief.certificate, thief.tls = copied.box.certificate, copied.box.tls
    copied.start(60)
    copied.renew()
    copied.start(61, put_back=True)
    key = ec.generate_private_key(ec.SECP256R1())
    answer = copied.ask(RENEWALS, thief.renewal(copied.cloud.world.at_ms, key=key))
    thief.certificate, thief.tls = answer.json()["certificate"], key
    assert copied.ask(CONFIRMATIONS, thief.confirmation(copied.cloud.world.at_ms)).json()["changed"]
    assert copied.alarms() == []
    for _ in range(2):
        assert_problem(copied.renew(), 403)
        assert_problem(copied.confirm(), 403)
    assert copied.alarms() == [{"device": BOX, "kind": "unknown_certificate"}]


def revoke(copied: Copied) -> None:
    copied.cloud.post(f"/devices/{BOX}/revocation", {"why": "stolen"})


def retire(copied: Copied) -> None:
    known = copied.cloud.cloud.writer.state.book.installations[BOX]
    fitted = {"device": BOX, **ASSET, "public_key": known.public_key, "retired": 1}
    copied.cloud.cloud.spine.commit(drafts.amend, {"installations": [fitted]})


@pytest.mark.parametrize("path", [RENEWALS, CONFIRMATIONS])
@pytest.mark.parametrize("acts", [(), (revoke,), (retire,)], ids=["counts", "revoked", "retired"])
def test_nothing_is_taken_of_a_device_that_is_barred(
    copied: Copied, path: str, acts: tuple[Callable[[Copied], None], ...]
) -> None:
    copied.cloud.world.at_ms += DAY_MS
    for act in acts:
        act(copied)
    one, at_ms = unknown(copied), copied.cloud.world.at_ms
    before = copied.cloud.cloud.writer.state.entry
    body = one.renewal(at_ms) if path == RENEWALS else one.confirmation(at_ms)
    answer = copied.ask(path, body)
    if not acts:
        assert answer.status_code in {200, 429}
        assert len(copied.alarms()) == 1
        return
    assert_problem(answer, 403)
    assert copied.cloud.cloud.writer.state.entry == before


def test_nor_what_is_older_or_ended_or_anothers_or_shown_without_its_key(copied: Copied, tmp_path: Path) -> None:
    copied.cloud.world.at_ms += 40 * DAY_MS
    copied.renew()
    copied.cloud.world.at_ms += 10 * DAY_MS
    other = authority.create(tmp_path / "o.pem", tmp_path / "o.key", "test authority", 400, copied.cloud.world.at_ms)
    stolen = unknown(copied)
    stolen.tls = ec.generate_private_key(ec.SECP256R1())
    for days in (-11.0, -10.0):  # older than the newest that is known, and as old
        one, before = unknown(copied, days=days, good=60), len(copied.alarms())
        for _ in range(2):
            assert_problem(copied.ask(RENEWALS, one.renewal(copied.cloud.world.at_ms)), 403)
            assert_problem(copied.ask(CONFIRMATIONS, one.confirmation(copied.cloud.world.at_ms)), 403)
        assert copied.alarms()[before:] == [{"device": BOX, "kind": "unknown_certificate"}], "told of once"
    told, before = copied.alarms(), copied.cloud.cloud.writer.state.entry
    for one, status in (
        (unknown(copied, days=-6.0), 403),  # it was good for five
        (unknown(copied, other), 403),
        (stolen, 422),
    ):
        assert_problem(copied.ask(RENEWALS, one.renewal(copied.cloud.world.at_ms)), status)
        assert_problem(copied.ask(CONFIRMATIONS, one.confirmation(copied.cloud.world.at_ms)), status)
    assert copied.cloud.cloud.writer.state.entry == before
    assert copied.alarms() == told
    state = copied.cloud.cloud.writer.state
    assert state_module.to_bytes(recover(copied.cloud.cloud.store)) == state_module.to_bytes(state)


def test_nor_what_an_authority_of_before_has_signed(
    copied: Copied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key may be stolen, and whoever has it signs what the journal does not know either."""
    copied.cloud.world.at_ms += 10 * DAY_MS
    before = authority.create(tmp_path / "former.pem", tmp_path / "former.key", "former", 400, WORLD_MS)
    files = copied.cloud.authority_file, copied.cloud.authority_key_file
    both = authority.load(*files, [tmp_path / "former.pem"])
    monkeypatch.setattr(copied.cloud.registrar, "_authority", both)
    thief = unknown(copied, before)
    for path, body in ((RENEWALS, thief.renewal), (CONFIRMATIONS, thief.confirmation)):
        assert_problem(copied.ask(path, body(copied.cloud.world.at_ms)), 403)
    assert copied.alarms() == []


def test_who_was_revoked_since_stays_out(copied: Copied, caplog: pytest.LogCaptureFixture) -> None:
    copied.back_up()
    copied.start(1)
    serial = copied.identity.certificates[0].serial
    revoke(copied)
    assert copied.listed() == {serial}
    caplog.set_level(logging.WARNING)
    for day in (2, 3):
        caplog.clear()
        copied.start(day, put_back=day == 2)
        assert copied.identity.certificates, "the journal knows nothing of it"
        assert copied.listed() == {serial}
        said = [one.getMessage() for one in caplog.records if "was put back" in one.getMessage()]
        assert [f"revoked since: {BOX} (" in one for one in said] == ([True] if day == 2 else []), "said once"
        why = assert_problem(copied.renew(), 403)["detail"]
        assert "by the list that the broker had" in why
        assert_problem(copied.confirm(), 403)
        copied.cloud.cloud.spine.commit(drafts.amend, {"parties": [{"id": f"party-{day}", "name": "somebody"}]})
    revoke(copied)
    assert copied.listed() == {serial}
    copied.cloud.claimed(Claimant(BOX, seed=22), copied.cloud.invite(BOX))
    assert copied.identity.certificates[0].serial not in copied.listed()


def test_a_number_leaves_the_list_when_its_certificate_has_ended_for_certain(copied: Copied) -> None:
    copied.back_up()
    copied.start(1)
    revoke(copied)
    copied.listed()
    copied.start(2, put_back=True)
    assert len(copied.listed()) == 1
    copied.cloud.world.at_ms = WORLD_MS + 826 * DAY_MS - 1
    assert len(copied.listed()) == 1
    copied.cloud.world.at_ms += DAY_MS  # it is signed anew once a day
    assert copied.listed() == set()


def test_a_start_over_its_own_journal_keeps_nothing_and_says_nothing(
    copied: Copied, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    copied.start(60)
    copied.renew()
    copied.confirm()
    assert len(copied.listed()) == 1
    copied.start(61)
    copied.start(121)
    copied.renew()
    copied.confirm()
    assert len(copied.listed()) == 1, "what has ended by itself is listed no more"
    copied.start(122)
    assert len(copied.listed()) == 1
    assert not caplog.records


@pytest.mark.parametrize("what", ["another's", "none", "a byte of it", "a folder"])
def test_a_list_that_cannot_be_read_is_told_of_and_kept_beside(
    copied: Copied, what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    revoke(copied)
    (serial,) = copied.listed()
    listed = copied.broker / "crl.pem"
    lines = listed.read_text(encoding="ascii").splitlines(keepends=True)
    if what == "another's":
        other = authority.create(tmp_path / "o.pem", tmp_path / "o.key", "test authority", 400, WORLD_MS)
        listed.write_bytes(other.revocation_list([], WORLD_MS))
    elif what == "a byte of it":
        listed.write_text("".join((*lines[:3], lines[3].swapcase(), *lines[4:])), encoding="ascii")
    elif what == "none":
        listed.write_bytes(b"")
    else:
        listed.unlink()
        listed.mkdir()
    before = b"" if what == "a folder" else listed.read_bytes()
    caplog.set_level(logging.ERROR)
    copied.start(1)
    (said,) = [one.getMessage() for one in caplog.records]
    if what == "a folder":
        assert "cannot be read (Is a directory)" in said
        assert "lost, for it cannot be kept beside" in said
        return
    assert "is damaged, or of another authority" in said
    assert copied.listed() == {serial}
    (kept,) = copied.broker.glob("crl.pem.unread-*")
    assert f"kept as {kept.name}" in said
    assert kept.read_bytes() == before
    caplog.clear()
    copied.start(2)
    assert not caplog.records, "ours is there again"


@pytest.mark.parametrize("what", ["another's", "none"])
def test_a_list_that_is_not_ours_is_not_kept(copied: Copied, tmp_path: Path, what: str) -> None:
    other = authority.create(tmp_path / "o.pem", tmp_path / "o.key", "test authority", 400, WORLD_MS)
    revoke(copied)
    (listed,) = copied.cloud.cloud.writer.state.identities.revoked
    text = other.revocation_list([listed._replace(serial="ff")], WORLD_MS) if what == "another's" else b"-----"
    (copied.broker / "crl.pem").write_bytes(text)
    copied.start(1)
    assert copied.listed() == {listed.serial}
