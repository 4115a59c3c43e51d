"""A cloud that lets devices in and does nothing else: claims and renewals as they are told of in docs/DEVICES.md, held
to the letter, over HTTP or HTTPS; and what Mosquitto needs to know whom it may let in."""

import base64
import contextlib
import datetime as dt
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext
from typing import Any

from authority import Authority
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from pledgewatch_wire.claims import Claim, claim_text

OPERATOR = "harbour-line"
CODE = "ABCDEFGHIJKLMNOPQRSTUVWXY2"
CARE = "ab" * 32
DAY = dt.timedelta(days=1)


class RefusalError(Exception):
    """A status and a reason; and in how many seconds to ask again, where that is said."""


class Enrolling:
    """The cloud of a test. What it does wrong, and what time it says it is, can be set."""

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        self.authority = Authority(folder)
        self.folder = folder
        self._context = SSLContext(PROTOCOL_TLS_SERVER)
        self.shows()
        self.invited: dict[str, str] = {}  # devices by the codes that they may use
        self.used: dict[str, str] = {}  # hashes of requests by the codes that they used
        self.keys: dict[str, str] = {}
        self.epochs: dict[str, int] = {}
        self.serials: dict[str, list[int]] = {}
        self.revoked: set[int] = set()
        self.settings = ""
        self.broker_port = 8_883
        self.begin, self.end = dt.datetime.now(dt.UTC) - DAY, dt.datetime.now(dt.UTC) + 89 * DAY
        self.clock_ahead_s = 0.0
        self.fails = 0  # so many answers are lost after the cloud has done its part
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls:
            self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"

    def shows(self, *, since: dt.timedelta = dt.timedelta(hours=1), until: dt.timedelta = DAY) -> None:
        """From now on it shows a certificate of this time."""
        self.authority.issue("server", since=since, until=until)
        chain = self.folder / "chain.pem"
        chain.write_bytes((self.folder / "server.pem").read_bytes() + (self.folder / "ca.pem").read_bytes())
        self._context.load_cert_chain(chain, self.folder / "server.key")

    @property
    def pin(self) -> str:
        """The hash of the authority's certificate."""
        found = x509.load_pem_x509_certificate((self.folder / "ca.pem").read_bytes())
        return hashlib.sha256(found.public_bytes(Encoding.DER)).hexdigest()

    def invite(self, device: str, code: str = CODE, *, gateway: str | None = None) -> str:
        """A claim."""
        self.invited[code] = device
        pin = self.pin if self.url.startswith("https") else None
        return claim_text(Claim(self.url, OPERATOR, device, code, pin, gateway))

    def serve(self) -> None:
        """Answer, until `close`."""
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, said: dict[str, Any]) -> dict[str, Any]:
        """What is answered. Raises RefusalError."""
        self.asked.append((path, said))
        if path == "/devices/confirmations":
            return self._confirm(said)
        return self._claim(said) if path == "/devices/claims" else self._renew(said)

    def _claim(self, said: dict[str, Any]) -> dict[str, Any]:
        request, der = _request(said)
        code, device = said["code"], said["device"]
        if self.invited.get(code) != device or self.used.get(code, hashlib.sha256(der).hexdigest()) != (
            hashlib.sha256(der).hexdigest()
        ):
            raise RefusalError(404, "no such claim; it was used, or it has ended")
        proven = b"pledgewatch claim\0" + hashlib.sha256(der).digest() + code.encode()
        try:
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(said["public_key"])).verify(
                base64.b64decode(said["proof"], validate=True), proven
            )
        except InvalidSignature:
            raise RefusalError(422, "the proof proves nothing") from None
        self.used[code] = hashlib.sha256(der).hexdigest()
        self.keys[device] = said["public_key"]
        self.epochs[device] = max(self.epochs.get(device, 0), said["epoch"])
        self.revoked |= set(self.serials.pop(device, []))
        return {**self._granted(device, request), "settings": self.settings}

    def _renew(self, said: dict[str, Any]) -> dict[str, Any]:
        request, der = _request(said)
        self._shown(said, b"pledgewatch renewal\0" + hashlib.sha256(der).digest())
        return self._granted(said["device"], request)

    def _confirm(self, said: dict[str, Any]) -> dict[str, Any]:
        certificate = x509.load_pem_x509_certificate(said["certificate"].encode())
        digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
        self._shown(said, b"pledgewatch confirmation\0" + digest)
        given = self.serials[said["device"]]
        older = set(given[: given.index(certificate.serial_number)])
        self.revoked |= older
        return {"device": said["device"], "changed": bool(older)}

    def _shown(self, said: dict[str, Any], proven: bytes) -> None:
        certificate = x509.load_pem_x509_certificate(said["certificate"].encode())
        now_ms = 1_000 * (time.time() + self.clock_ahead_s)
        if abs(said["signed_ms"] - now_ms) > 300_000:
            raise RefusalError(422, "signed at another time than now")
        proven += str(said["signed_ms"]).encode()
        public = certificate.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)
        public.verify(base64.b64decode(said["proof"], validate=True), proven, ec.ECDSA(hashes.SHA256()))
        if certificate.serial_number in self.revoked:
            raise RefusalError(403, "this certificate is revoked: box-2 stands in its place")

    def _granted(self, device: str, request: x509.CertificateSigningRequest) -> dict[str, Any]:
        certificate = self.authority.grant(request, self.begin, self.end)
        self.serials.setdefault(device, []).append(certificate.serial_number)
        authority = (self.folder / "ca.pem").read_text(encoding="ascii")
        return {
            "operator": OPERATOR,
            "device": device,
            "asset": f"asset-{device}",
            "certificate": certificate.public_bytes(Encoding.PEM).decode() + authority,
            "not_after_ms": round(self.end.timestamp() * 1_000),
            "broker": {"host": "127.0.0.1", "port": self.broker_port},
            "broker_ca": authority,
            "care_public_key": CARE,
            "epoch": self.epochs.get(device, 0),
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            def date_time_string(self, timestamp: float | None = None) -> str:
                return formatdate(time.time() + cloud.clock_ahead_s, usegmt=True)

            def do_GET(self) -> None:
                self._say(200, {"status": "ok"})

            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    answer = cloud.answer(self.path, said)
                except RefusalError as refusal:
                    status, detail, *wait_s = refusal.args
                    said = {"title": "no", "status": status, "detail": detail}
                    self._say(status, said | ({"why": "refused"} if status == 403 else {}), *wait_s)
                    return
                if cloud.fails:
                    cloud.fails -= 1
                    self.close_connection = True
                    return
                self._say(201, answer)

            def _say(self, status: int, said: dict[str, Any], wait_s: int | None = None) -> None:
                plain = json.dumps(said).encode()
                self.send_response(status)
                if wait_s is not None:
                    self.send_header("Retry-After", str(wait_s))
                self.send_header("Content-Length", str(len(plain)))
                self.end_headers()
                self.wfile.write(plain)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _request(said: dict[str, Any]) -> tuple[x509.CertificateSigningRequest, bytes]:
    request = x509.load_pem_x509_csr(said["csr"].encode())
    assert request.is_signature_valid
    names = [one.value for one in request.subject]
    assert names == [said["device"]]
    return request, request.public_bytes(Encoding.DER)


@contextlib.contextmanager
def enrolling(folder: Path, *, tls: bool = False) -> Iterator[Enrolling]:
    """The cloud, answering."""
    folder.mkdir(parents=True, exist_ok=True)
    cloud = Enrolling(folder, tls=tls)
    cloud.serve()
    try:
        yield cloud
    finally:
        cloud.close()
