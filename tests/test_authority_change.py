"""The authority of devices is changed for another, as docs/DEVICES.md says it: with the real cloud, the real agent and
a real Mosquitto; and what the cloud holds to by itself meanwhile.

Both authorities have the same name, as `devices authority` gives it.
"""

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiomqtt
import pytest
from api_cloud import assert_problem
from builders import book_document
from claiming import DAY_MS, Claimant, ClaimCloud
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from letting_in import ASSET
from test_devices_end_to_end import LINE, Harbour, refused

from pledgewatch_cloud import doctor
from pledgewatch_cloud.__main__ import main as cloud_main
from pledgewatch_cloud.config import CloudSettings
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.identity import authority, authority_ends
from pledgewatch_cloud.identity.authority import Authority, AuthorityError, Former
from pledgewatch_cloud.identity.broker_files import BrokerFiles
from pledgewatch_cloud.identity.registrar import Registrar
from pledgewatch_edge.agent import load
from pledgewatch_edge.connection import Connector, RefusedError
from pledgewatch_edge.tls import Shown, shown_to_broker
from pledgewatch_edge.tls_identity import TlsIdentity
from pledgewatch_wire.settings import load as load_settings

PLAIN = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
END = b"-----END X509 CRL-----\n"
RENEWALS, CONFIRMATIONS = "/devices/renewals", "/devices/confirmations"


class Changing(Harbour):
    """A harbour whose authority of devices becomes another."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.first, self.second = folder / "devices.pem", folder / "second.pem"

    def make_another(self) -> None:
        """The new pair."""
        files = ("--certificate", str(self.second), "--key", str(self.second.with_suffix(".key")))
        assert cloud_main(["devices", "authority", *files]) == 0

    def believe(self, *files: Path) -> None:
        """The broker, begun anew, lets in who has a certificate of one of these."""
        self.broker.stop()
        believed, conf = self.folder / "believed.pem", self.folder / "mosquitto.conf"
        believed.write_bytes(b"".join(one.read_bytes() for one in files))
        text = conf.read_text(encoding="utf-8").replace(f"cafile {self.first}\n", f"cafile {believed}\n")
        assert f"cafile {believed}\n" in text
        conf.write_text(text, encoding="utf-8")
        self.broker.start()

    def sign_by_the_other(self) -> None:
        """The cloud, begun anew, signs by the new pair and knows the one before."""
        assert self.cloud.end() == 0
        path, former = self.folder / "cloud.toml", [str(self.first), str(self.first.with_suffix(".key"))]
        text = path.read_text(encoding="utf-8")
        for suffix in (".pem", ".key"):
            before, now = (f'_file = "{one.with_suffix(suffix)}"' for one in (self.first, self.second))
            assert before in text
            text = text.replace(before, now)
        path.write_text(f"{text}authority_former_files = {former}\n", encoding="utf-8")
        self.cloud.start()
        self.until(lambda: bool(self.get("/healthz")), "the cloud")

    def shown(self, board: str) -> Shown:
        """What a board shows of itself."""
        state = self.folder / board / "state"
        return Shown(state / "tls.crt", state / "tls.key")

    def connector(self, board: str) -> Connector:
        """By what a board has."""
        settings = load(self.folder / board / "edge.toml")
        shown = shown_to_broker(settings.broker, settings.device, settings.device.state_folder / "tls.crt")
        return Connector(settings.broker, "probe", shown)

    async def is_let_in(self, board: str) -> None:
        """Connect by what a board has. Raises RefusedError."""
        topic = f"pw/1/{LINE}/{board}/status"
        async with self.connector(board).connect(aiomqtt.Will(topic, b"", qos=1)) as client:
            await client.publish(topic, b"", qos=1)

    def goes_on(self, device: str) -> None:
        """Readings come that were not there."""
        before = self.contiguous(device)
        self.until(lambda: self.contiguous(device) != before, f"readings of {device}")


@pytest.fixture
def harbour(tmp_path: Path) -> Iterator[Changing]:
    one = Changing(tmp_path)
    try:
        one.start()
        yield one
    finally:
        one.stop()


async def test_the_authority_of_a_fleet_is_changed(
    harbour: Changing, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("box-1", "box-2"):
        claim = harbour.invite(capsys, name, "--operator", LINE, "--asset", f"reefer-{name}")
        assert harbour.claim(monkeypatch, name, claim) == 0
        await harbour.is_let_in(name)
    harbour.run("box-1")
    harbour.until(lambda: harbour.contiguous("box-1").get(1, 0) > 5, "readings of box-1")
    copy = shutil.copytree(harbour.folder / "box-1" / "state", harbour.folder / "copy")

    # Both are believed, then the new one signs: who has a certificate of the one before is let in as ever.
    harbour.make_another()
    harbour.believe(harbour.first, harbour.second)
    harbour.goes_on("box-1")
    harbour.sign_by_the_other()
    harbour.goes_on("box-1")
    await harbour.is_let_in("box-2")

    # One of the one before that is revoked now is refused, and one that claims now is let in.
    assert cloud_main(["devices", "revoke", "box-2", "--why", "stolen", "--url", harbour.url]) == 0
    with pytest.raises(RefusedError):
        await refused(harbour.connector("box-2"), harbour.shown("box-2"))
    claim = harbour.invite(capsys, "box-3", "--operator", LINE, "--asset", "reefer-3")
    assert harbour.claim(monkeypatch, "box-3", claim) == 0
    await harbour.is_let_in("box-3")

    # The one before is believed no more: the agent is refused, and renews by itself.
    old = TlsIdentity(harbour.folder / "box-1" / "state").certificate()
    harbour.believe(harbour.second)
    harbour.goes_on("box-1")
    given = TlsIdentity(harbour.folder / "box-1" / "state").certificate()
    assert given is not None
    assert given != old
    signs = authority.load(harbour.second, harbour.second.with_suffix(".key"))
    assert signs.has_signed(x509.load_pem_x509_certificate(given))
    await harbour.is_let_in("box-3")
    with pytest.raises(RefusedError):
        await refused(harbour.connector("box-1"), Shown(copy / "tls.crt", copy / "tls.key"))
    assert harbour.status("box-1")["wrong"] == []


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ClaimCloud]:
    one = ClaimCloud(tmp_path)
    one.cloud.spine.commit(drafts.amend, book_document(one.cloud.device))
    yield one
    one.cloud.close()


def claimed(cloud: ClaimCloud, name: str = "box-1") -> Claimant:
    """A device that has an identity of the authority of now."""
    one = Claimant(name, seed=20 + int(name[-1]))
    cloud.claimed(one, cloud.invite(name, **ASSET))
    return one


def changed(cloud: ClaimCloud, *, chain: str = "", has_key: bool = True) -> tuple[Authority, Former]:
    """The cloud signs by another authority of the same name from now on; and the one before."""
    made = cloud.authority_file.parent
    authority.create(made / "new.pem", made / "new.key", "test authority", 400, cloud.world.at_ms)
    files = [cloud.authority_file, cloud.authority_key_file][: 1 + has_key]
    signs = authority.load(made / "new.pem", made / "new.key", files)
    (former,) = signs.former
    former = former._replace(chain=chain)
    signs = Authority(signs.certificate, ec_key(made / "new.key"), "", (former,))
    registrar = Registrar(*(cloud.cloud.writer, signs, cloud.terms), clock=cloud.world, journal_clock=cloud.cloud.clock)
    object.__setattr__(cloud.client.app.state.service, "registrar", registrar)
    return signs, former


def ec_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def read(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode("ascii"))


def test_a_certificate_of_the_one_before_is_renewed_at_once(cloud: ClaimCloud) -> None:
    one = claimed(cloud)
    key = ec.generate_private_key(ec.SECP256R1())
    cloud.world.at_ms += 31 * DAY_MS
    one.certificate = cloud.post(RENEWALS, one.renewal(cloud.world.at_ms, key=key)).json()["certificate"]
    one.tls = key
    cloud.world.at_ms += 60_000
    assert cloud.post(CONFIRMATIONS, one.confirmation(cloud.world.at_ms)).json()["changed"]
    assert_problem(cloud.post(RENEWALS, one.renewal(cloud.world.at_ms)), 429)  # it is young
    signs, _ = changed(cloud)
    key = ec.generate_private_key(ec.SECP256R1())
    answer = cloud.post(RENEWALS, one.renewal(cloud.world.at_ms, key=key))
    assert answer.status_code == 201
    given = answer.json()["certificate"]
    assert signs.has_signed(read(given))
    one.certificate, one.tls = given, key
    assert cloud.post(CONFIRMATIONS, one.confirmation(cloud.world.at_ms)).json()["changed"]
    assert_problem(cloud.post(RENEWALS, one.renewal(cloud.world.at_ms)), 429)  # and so is this


def test_who_has_lost_the_answer_is_told_the_same_with_what_belongs_to_it(cloud: ClaimCloud) -> None:
    one = Claimant("box-1", seed=21)
    code = cloud.invite("box-1", **ASSET)
    cloud.claimed(one, code)
    _, former = changed(cloud, chain="of the one before")
    again = cloud.post("/devices/claims", one.claim(code))
    assert again.json()["certificate"] == one.certificate + former.chain
    key = ec.generate_private_key(ec.SECP256R1())
    assert former.chain not in cloud.post(RENEWALS, one.renewal(cloud.world.at_ms, key=key)).json()["certificate"]


def test_who_has_the_key_of_the_one_before_makes_no_certificate_that_counts(cloud: ClaimCloud) -> None:
    """By the name and the number of one that does, which are no secrets."""
    one = claimed(cloud)
    _, former = changed(cloud)
    assert former.key is not None
    shown, thief = read(one.certificate), Claimant("box-1", seed=99)
    builder = (
        x509.CertificateBuilder()
        .subject_name(shown.subject)
        .issuer_name(shown.issuer)
        .public_key(thief.tls.public_key())
        .not_valid_before(shown.not_valid_before_utc)
        .not_valid_after(shown.not_valid_after_utc)
    )
    for number, said in ((shown.serial_number, "or not of this authority"), (4_711, "was replaced or revoked")):
        made = builder.serial_number(number).sign(former.key, hashes.SHA256())
        thief.certificate = made.public_bytes(Encoding.PEM).decode("ascii")
        for path, body in (
            (RENEWALS, thief.renewal(cloud.world.at_ms)),
            (CONFIRMATIONS, thief.confirmation(cloud.world.at_ms)),
        ):
            assert said in assert_problem(cloud.post(path, body), 403)["detail"]
    assert cloud.post(RENEWALS, one.renewal(cloud.world.at_ms)).status_code == 201


def test_there_is_a_list_of_each_that_can_sign_one_and_has_not_ended(cloud: ClaimCloud) -> None:
    one = claimed(cloud)
    before = cloud.authority
    cloud.post("/devices/box-1/revocation", {"why": "stolen"})
    revoked = cloud.cloud.writer.state.identities.revoked
    signs, _ = changed(cloud)

    def lists(by: Authority, at_ms: int) -> list[x509.CertificateRevocationList]:
        found = by.revocation_lists(revoked, at_ms).split(END)[:-1]
        return [x509.load_pem_x509_crl(text + END) for text in found]

    both = lists(signs, cloud.world.at_ms)
    for found, by in zip(both, (signs, before), strict=True):
        assert found.is_signature_valid(by.certificate.public_key())  # type: ignore[arg-type]
        assert [listed.serial_number for listed in found] == [read(one.certificate).serial_number]
    assert len(lists(signs, cloud.world.at_ms + 401 * DAY_MS)) == 1
    without = tuple(former._replace(key=None) for former in signs.former)
    made = cloud.authority_file.parent
    assert len(lists(Authority(signs.certificate, ec_key(made / "new.key"), "", without), cloud.world.at_ms)) == 1
    own = Former(signs.certificate, "", ec_key(made / "new.key"))  # renewed over the same key
    assert len(lists(Authority(signs.certificate, ec_key(made / "new.key"), "", (own,)), cloud.world.at_ms)) == 1


def test_ends_are_told_and_who_has_a_certificate_of_the_one_before(
    cloud: ClaimCloud, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    devices = [claimed(cloud, f"box-{number}") for number in (1, 2)]
    now_ms = cloud.world.at_ms

    def told(by: Authority, at_ms: int) -> list[authority_ends.Told]:
        return authority_ends.told(by, cloud.cloud.writer.state.identities.identities.values(), at_ms)

    (alone,) = told(cloud.authority, now_ms)
    assert alone.is_well
    assert "CN=test authority" in alone.text
    (alone,) = told(cloud.authority, now_ms + 311 * DAY_MS)
    assert not alone.is_well
    assert "signs certificates until 2027-04-05, and none of a device is good for longer" in alone.text
    signs, _ = changed(cloud, has_key=False)
    _, former = told(signs, now_ms)
    assert former.is_well
    of_both = "of 2 devices the newest certificate is of it: box-1, box-2; its key is not known"
    assert f"ends on 2027-04-05; {of_both}" in former.text
    for one in devices[:1]:
        assert cloud.post(RENEWALS, one.renewal(now_ms, key=ec.generate_private_key(ec.SECP256R1()))).status_code == 201
    assert "of 1 devices the newest certificate is of it: box-2" in told(signs, now_ms)[1].text
    (tmp_path / "files").mkdir()

    async def reload() -> None:
        pass

    files = BrokerFiles(cloud.cloud.writer, signs, tmp_path / "files", cloud.world, reload, cloud="cloud", health="")
    asyncio.run(files.keep())
    assert caplog.text == ""
    cloud.world.at_ms += 390 * DAY_MS
    asyncio.run(files.keep())
    cloud.world.at_ms += 1_000
    asyncio.run(files.keep())
    assert caplog.text.count("signs certificates until 2027-04-05") == 1
    assert "take it out of authority_former_files" in told(signs, cloud.world.at_ms)[1].text, "the others have expired"


def test_the_doctor_says_who_has_a_certificate_of_the_one_before(cloud: ClaimCloud, tmp_path: Path) -> None:
    claimed(cloud)
    now = datetime.now(UTC).timestamp()
    cloud.world.at_ms = int(now * 1_000)
    claimed(cloud, "box-2")
    made = tmp_path / "authority"
    authority.create(made / "new.pem", made / "new.key", "test authority", 80, cloud.world.at_ms)
    (tmp_path / "care.key").write_bytes(Ed25519PrivateKey.generate().private_bytes(*PLAIN))
    (tmp_path / "care.key").chmod(0o600)
    (tmp_path / "cloud.toml").write_text(
        f'[service]\ndata_folder = "{tmp_path}"\n[broker]\nembedded = true\n[devices]\n'
        f'authority_certificate_file = "{made}/new.pem"\nauthority_key_file = "{made}/new.key"\n'
        f'authority_former_files = ["{made}/ca.pem", "{made}/ca.key"]\n'
        'care_key_file = "care.key"\npublic_url = "https://cloud.example"\nbroker_host = "broker.example"\n'
        f'broker_ca_file = "{made}/ca.pem"\n',
        encoding="utf-8",
    )
    found = asyncio.run(doctor.examine(load_settings(tmp_path / "cloud.toml", CloudSettings)))
    of_now, of_before = (one for one in found if one.what == "authority")
    assert not of_now.is_well
    assert "none of a device is good for longer; docs/DEVICES.md says how it is changed" in of_now.text
    assert "of 1 devices the newest certificate is of it: box-2" in of_before.text, "that of box-1 has ended"
    (made / "new.key").chmod(0o644)
    found = asyncio.run(doctor.examine(load_settings(tmp_path / "cloud.toml", CloudSettings)))
    (unread,) = (one for one in found if one.what == "authority")
    assert "other users may read" in unread.text


def test_what_cannot_be_an_authority_of_before_is_said(tmp_path: Path) -> None:
    for name in ("now", "old"):
        authority.create(tmp_path / f"{name}.pem", tmp_path / f"{name}.key", name, 10, 1_772_366_400_000)
    now, old = ((tmp_path / f"{name}.pem", tmp_path / f"{name}.key") for name in ("now", "old"))
    both = tmp_path / "both.pem"
    both.write_bytes(old[1].read_bytes() + old[0].read_bytes())
    both.chmod(0o600)
    for files in ([both], old, old[::-1]):
        (former,) = authority.load(*now, files).former
        assert former.key is not None
        assert former.certificate == read(old[0].read_text(encoding="ascii"))
    assert authority.load(*now, old[:1]).former[0].key is None
    (tmp_path / "text").write_text("nothing", encoding="ascii")
    for files, said in (
        ([old[1]], "is the key of no certificate"),
        ([tmp_path / "text"], "has neither certificate nor key"),
        ([tmp_path / "none"], "cannot be read"),
        (now, "is an authority of before as well"),
    ):
        with pytest.raises(AuthorityError, match=said):
            authority.load(*now, files)
    both.chmod(0o640)
    with pytest.raises(AuthorityError, match="other users may read"):
        authority.load(*now, [both])
