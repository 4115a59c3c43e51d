"""Asking the cloud's API, with nothing but the standard library, for a device is claimed before anything else works.

By whom the cloud is known: a certificate in a file, or at the first meeting its hash, which came with the claim. The
hash is held against what the server shows, and then that certificate alone is believed, for a connection of its own.

A computer whose clock is not set cannot judge certificates by time (tls.py). The server's own word on the time comes
with its answer, so its certificate is judged by that afterwards; that proves no more than that the two agree. What time
it says is known to be past from then on (past.py), as far as its certificate reaches: who stole one that has ended can
say nothing newer.
"""

import contextlib
import hashlib
import http.client
import ipaddress
import json
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography import x509

from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.tls import client_context, is_of_time, why_not
from pledgewatch_wire.hosts import require_url

TIMEOUT_S: Final = 30.0
_BYTES_MAX: Final = 1 << 20
_SECONDS: Final = re.compile(r"[0-9]{1,9}")


class CloudError(Exception):
    """The cloud gave no answer that can be used; the text says why. `is_final`: it understood, and refuses; to ask the
    same again later is of no use. `is_refusal`: it does not take what the device has shown. `is_too_often`: it is to be
    asked again later, `wait_s` (None where it did not say) from now. `time_ms`: what time it said it was; None where it
    did not."""

    def __init__(
        self,
        text: str,
        *,
        is_final: bool = False,
        is_refusal: bool = False,
        is_too_often: bool = False,
        wait_s: int | None = None,
        time_ms: int | None = None,
    ) -> None:
        super().__init__(text)
        self.is_final = is_final
        self.is_refusal = is_refusal
        self.wait_s = wait_s
        self.is_too_often = is_too_often
        self.time_ms = time_ms


class DoubtError(CloudError):
    """The cloud shows a certificate that we do not believe. `is_of_time`: for what time it is."""

    def __init__(self, text: str, *, is_of_time: bool) -> None:
        super().__init__(text)
        self.is_of_time = is_of_time


class Answer(NamedTuple):
    """What the cloud said, and what time it said it was; None where it did not."""

    said: Mapping[str, Any]
    time_ms: int | None


class CloudApi:
    """The API at one address. `ca_file` or `ca_der` is whom to know it by; neither: whom this computer believes."""

    def __init__(
        self,
        url: str,
        *,
        ca_file: Path | None = None,
        ca_der: bytes | None = None,
        judges_time: bool = True,
        clock: AgentClock | None = None,
    ) -> None:
        """`clock` tells by which moments the server's certificate is judged where this computer's clock is days off.
        Raises CloudError for an address that may not be used."""
        self._place = _place_of(url)
        self._url = url
        self._ca_file = ca_file
        self._ca_der = ca_der
        self._judges_time = judges_time
        self._clock = clock

    def post(self, path: str, document: Mapping[str, object]) -> Answer:
        """Hand in a document; the answer's. Raises CloudError."""
        body = json.dumps(document).encode("utf-8")
        status, plain, headers = self._asked("POST", path, body)
        time_ms = _time_of(headers.get("Date"))
        said = _said(plain)
        if status in {200, 201} and said is not None:
            return Answer(said, time_ms)
        if said is not None and status >= 400:
            reason = str(said.get("detail") or said.get("title") or status)
            is_too_often, wait_s = status == 429, _seconds(headers.get("Retry-After"))
            raise CloudError(
                f"the cloud says: {reason}" + (f"; try again in {wait_s} s" if is_too_often and wait_s else ""),
                is_final=status < 500 and status not in {408, 429},
                is_refusal=status == 403 and said.get("why") == "refused",
                is_too_often=is_too_often,
                wait_s=wait_s if is_too_often else None,
                time_ms=time_ms,
            )
        raise CloudError(f"{self._url} answered {status}, not as the cloud does; look at the address", time_ms=time_ms)

    def time_ms(self) -> int | None:
        """What time the cloud says it is. Raises CloudError."""
        _, _, headers = self._asked("GET", "/healthz", None)
        return _time_of(headers.get("Date"))

    def _asked(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes, http.client.HTTPMessage]:
        place = self._place
        judged_at = self._clock.judged_at() if self._clock else ()
        with _cloud_errors(self._url, self._clock.apart() if self._clock else ""):
            connection = http.client.HTTPConnection(place.host, place.port, timeout=TIMEOUT_S)
            if place.is_tls:
                context = client_context(
                    ca_file=self._ca_file, ca_der=self._ca_der, judges_time=self._judges_time, judged_at=judged_at
                )
                connection = http.client.HTTPSConnection(place.host, place.port, timeout=TIMEOUT_S, context=context)
            with contextlib.closing(connection):
                connection.request(method, place.prefix + path, body, {"Content-Type": "application/json"})
                secured = connection.sock
                certificate = secured.getpeercert(binary_form=True) if isinstance(secured, ssl.SSLSocket) else None
                answer = connection.getresponse()
                plain = answer.read(_BYTES_MAX + 1)
        if len(plain) > _BYTES_MAX:
            raise CloudError(f"{self._url} answered with more than {_BYTES_MAX} bytes; look at the address")
        said_ms = _time_of(answer.headers.get("Date"))
        if certificate is not None and not self._judges_time and not judged_at:
            _require_in_time(certificate, said_ms, self._url)
        if certificate is not None and said_ms is not None and self._clock and _is_in_time(certificate, said_ms):
            self._clock.not_before(said_ms)
        return answer.status, plain, answer.headers


def known_by_hash(url: str, sha256: str) -> bytes:
    """The certificate (DER) with this hash among those that the server shows. Raises CloudError; where it shows none of
    this hash, nothing has been said to it."""
    place = _place_of(url)
    if not place.is_tls:
        raise CloudError(f"{url} is not https, but the claim names a certificate; ask for a new claim")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is said on this connection; the next one is verified by what is found
    with (
        _cloud_errors(url),
        socket.create_connection((place.host, place.port), TIMEOUT_S) as plain,
        context.wrap_socket(plain, server_hostname=place.host) as secured,
    ):
        for der in _shown_by(secured):
            if hashlib.sha256(der).hexdigest() == sha256:
                return der
    raise CloudError(
        f"{url} does not show the certificate that the claim names: somebody stands between, or the server shows only "
        "its own certificate; give the other with --ca-file",
        is_final=True,
    )


class _Place(NamedTuple):
    host: str
    port: int
    prefix: str
    is_tls: bool


def _place_of(url: str) -> _Place:
    try:
        parts = require_url("the cloud's address", url)
    except ValueError as error:
        raise CloudError(str(error), is_final=True) from None
    host = parts.hostname or ""
    is_tls = parts.scheme == "https"
    if not is_tls and not _is_loopback(host):
        raise CloudError(f"{url} is not https, so others could read what is said; use https", is_final=True)
    return _Place(host, parts.port or (443 if is_tls else 80), parts.path.rstrip("/"), is_tls)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _shown_by(secured: ssl.SSLSocket) -> list[bytes]:
    """All certificates that the server shows, in DER."""
    if hasattr(secured, "get_unverified_chain"):  # from Python 3.13 on
        shown: list[bytes] = secured.get_unverified_chain()
        return shown
    chain = secured._sslobj.get_unverified_chain() or []  # type: ignore[attr-defined]  # noqa: SLF001 - until then
    return [ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in chain]


def _require_in_time(certificate: bytes, time_ms: int | None, url: str) -> None:
    """Judge the server's certificate by the server's own time. Raises CloudError."""
    if time_ms is None:
        raise CloudError(f"{url} does not say what time it is, and this computer's clock is not set; set the clock")
    if not _is_in_time(certificate, time_ms):
        raise CloudError(f"the certificate of {url} is not good at the time that it says itself; ask who runs it")


def _is_in_time(certificate: bytes, time_ms: int) -> bool:
    found = x509.load_der_x509_certificate(certificate)
    return found.not_valid_before_utc.timestamp() * 1_000 <= time_ms <= found.not_valid_after_utc.timestamp() * 1_000


def _said(plain: bytes) -> Mapping[str, Any] | None:
    """The JSON object of an answer; None where it is none."""
    try:
        said = json.loads(plain)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None


def _seconds(wait: str | None) -> int | None:
    """A Retry-After header in seconds; None where it is none, or is a date."""
    is_right = wait is not None and _SECONDS.fullmatch(wait)
    return int(wait) if wait is not None and is_right else None


def _time_of(date: str | None) -> int | None:
    """A Date header as Unix milliseconds."""
    try:
        return None if date is None else round(parsedate_to_datetime(date).timestamp() * 1_000)
    except ValueError:
        return None


@contextlib.contextmanager
def _cloud_errors(url: str, apart: str = "") -> Iterator[None]:
    """What may go wrong on the way, as sentences. `apart`: how far this computer's clock is off, if it is."""
    more = f" ({apart})" if apart else ""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        text = f"the certificate of {url} cannot be believed: {why_not(error)}{more}"
        raise DoubtError(text, is_of_time=is_of_time(error)) from None
    except TimeoutError:
        raise CloudError(f"{url} does not answer within {TIMEOUT_S:g} s; try again where there is a link") from None
    except OSError as error:
        raise CloudError(
            f"{url} cannot be reached: {error.strerror or error}; try again where there is a link"
        ) from None
    except http.client.HTTPException as error:
        raise CloudError(
            f"{url} does not answer as a server does ({type(error).__name__}); look at the address"
        ) from None
