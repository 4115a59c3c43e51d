"""TLS as a client: whom the device believes, what it shows of itself, and why it was refused.

A certificate is judged by time too, and a board that boots in 1970 has none. There the chain and the name are verified
as ever, and time is not: else it could not so much as ask what time it is. Who stole a key whose certificate has ended
since could deceive such a board; so a clock that is kept is worth its price.

Where the agent knows by a receiver that the computer's clock is days off (clock.py), the library is told to leave time
out, and the chain that it has verified is judged here, by the moments that the agent gives, none of which lies before
what it knows to be past. Of two certificates that differ in their time alone (an authority's before and after it was
renewed) the library takes any, so each place of the chain is judged by all that could stand there.

A broker says that it refuses a certificate by an alert, which with TLS 1.3 comes after the handshake. The MQTT library
makes "connection lost" of it, so the socket itself notes it.
"""

import contextlib
import datetime as dt
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtensionOID

from pledgewatch_edge.config import BrokerSettings, DeviceSettings, Pkcs11Settings

_NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME, for which the ssl module has no name
_BY_WHOM: Final = (ExtensionOID.AUTHORITY_KEY_IDENTIFIER, ExtensionOID.CRL_DISTRIBUTION_POINTS)
_NOT_YET, _ENDED = 9, 10  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_HINTS: Final = {
    _NOT_YET: "it is not good yet; this computer's clock may be behind",
    _ENDED: "it has ended; or this computer's clock is ahead",
    62: "it is for another name",  # X509_V_ERR_HOSTNAME_MISMATCH
    64: "it is for another address",  # X509_V_ERR_IP_ADDRESS_MISMATCH
}
_ALERT: Final = "ALERT_"
_WHY: Final = {
    "CERTIFICATE_REVOKED": "its certificate is revoked",
    "CERTIFICATE_EXPIRED": "its certificate has ended, or the broker's list of revocations has",
    "CERTIFICATE_REQUIRED": "it shows no certificate",
    "BAD_CERTIFICATE": "its certificate is not accepted",
    "CERTIFICATE_UNKNOWN": "its certificate is not accepted",
    "UNSUPPORTED_CERTIFICATE": "its certificate is of no kind for this",
    "UNKNOWN_CA": "its certificate is of an authority that the broker does not know",
    "DECRYPT_ERROR": "its key does not belong to its certificate",
    "ACCESS_DENIED": "it may not connect",
}


class Shown(NamedTuple):
    """What the device shows of itself: a chain of certificates, and the key of the first, in a file or a token.
    `ca_file` is by whom it knows the other side, where that changes with it."""

    certificate_file: Path
    key: Path | Pkcs11Settings
    ca_file: Path | None = None


def shown_to_broker(broker: BrokerSettings, device: DeviceSettings, certificate_file: Path) -> Shown | None:
    """What a device shows to the broker; None where it shows nothing. `certificate_file` is that of a token's key."""
    if device.pkcs11 is not None:
        return Shown(certificate_file, device.pkcs11)
    if broker.certificate_file is None or broker.key_file is None:
        return None
    return Shown(broker.certificate_file, broker.key_file)


def client_context(
    *,
    ca_file: Path | None = None,
    ca_der: bytes | None = None,
    shown: Shown | None = None,
    judges_time: bool = True,
    judged_at: Sequence[int] = (),
    on_refusal: Callable[[str], None] | None = None,
    on_doubt: Callable[[ssl.SSLCertVerificationError], None] | None = None,
) -> ssl.SSLContext:
    """A context that believes a file, one certificate, or where neither is given whom this computer believes.
    `judged_at`: moments (Unix milliseconds) by any of which the other side's certificates are judged, instead of by
    this computer's clock. `on_refusal` is told why the other side refuses us, `on_doubt` why we do not believe it.

    Raises OSError where a file cannot be read or is none, ssl.SSLError (one of them) where key and certificate do not
    belong together, StateError where a token cannot be used.
    """
    context = ssl.create_default_context(cafile=ca_file, cadata=ca_der)
    if ca_file or ca_der:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # what is named is believed, root or not
    if not judges_time or judged_at:
        context.verify_flags |= _NO_CHECK_TIME
    if shown is not None and isinstance(shown.key, Path):
        context.load_cert_chain(shown.certificate_file, shown.key)
    elif shown is not None and isinstance(shown.key, Pkcs11Settings):
        from pledgewatch_edge import pkcs11  # noqa: PLC0415 - few devices have a token

        pkcs11.load_into(context, shown.certificate_file, shown.key)
    context.sslsocket_class = _socket(on_refusal, on_doubt, judged_at)
    return context


def is_of_time(error: ssl.SSLCertVerificationError) -> bool:
    """Whether a certificate is not believed for what time it is, so that a clock which is wrong may be why."""
    return error.verify_code in {_NOT_YET, _ENDED}


def why_not(error: ssl.SSLCertVerificationError) -> str:
    """Why a certificate is not believed, in words."""
    return _HINTS.get(error.verify_code, error.verify_message)


def _socket(
    on_refusal: Callable[[str], None] | None,
    on_doubt: Callable[[ssl.SSLCertVerificationError], None] | None,
    judged_at: Sequence[int],
) -> type[ssl.SSLSocket]:
    """A socket that tells why it was refused, where it was, and that judges by other moments."""

    @contextlib.contextmanager
    def noted() -> Iterator[None]:
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            if on_doubt is not None:
                on_doubt(error)
            raise
        except ssl.SSLError as error:
            _, _, alert = (error.reason or "").partition(_ALERT)
            if alert in _WHY and on_refusal is not None:
                on_refusal(_WHY[alert])
            raise

    class Socket(ssl.SSLSocket):
        def read(self, *arguments: Any, **named: Any) -> Any:
            with noted():
                return super().read(*arguments, **named)

        def do_handshake(self, *arguments: Any, **named: Any) -> None:
            try:
                with noted():
                    super().do_handshake(*arguments, **named)
                    if judged_at:
                        _require_good(self, judged_at)
            except OSError:
                self.close()  # the MQTT library forgets it
                raise

    return Socket


def _require_good(secured: ssl.SSLSocket, judged_at: Sequence[int]) -> None:
    """Raise SSLCertVerificationError where at none of these moments all certificates of the verified chain are good."""
    chain = _verified_by(secured)
    moments = [dt.datetime.fromtimestamp(one / 1_000, dt.UTC) for one in judged_at]
    places = _places(chain, _shown_by(secured), _believed_by(secured))
    if any(all(any(_is_good(one, at) for one in place) for place in places) for at in moments):
        return
    begin = max(one.not_valid_before_utc for one in chain)
    error = ssl.SSLCertVerificationError(
        1, "certificate verify failed: it is good at no moment that a clock here tells"
    )
    error.verify_code = _NOT_YET if moments[0] < begin else _ENDED
    error.verify_message = "it is good at no moment that a clock here tells"
    raise error


def _is_good(one: x509.Certificate, at: dt.datetime) -> bool:
    return one.not_valid_before_utc <= at <= one.not_valid_after_utc


def _places(
    chain: Sequence[x509.Certificate], shown: Sequence[x509.Certificate], believed: Sequence[x509.Certificate]
) -> list[list[x509.Certificate]]:
    """For each place of a verified chain the certificates that could stand there: its own and, but for the first, those
    that differ from it in their time alone, and that are believed or signed by what stands next."""
    places = [[chain[0]]]
    for index, one in enumerate(chain[1:], start=1):
        twins = [other for other in believed if _are_twins(one, other)]
        if index + 1 < len(chain):
            twins += [other for other in shown if _are_twins(one, other) and _is_signed(other, chain[index + 1])]
        places.append([one, *twins])
    return places


def _are_twins(one: x509.Certificate, other: x509.Certificate) -> bool:
    """Whether two certificates say the same of the same key; by whom and until when may differ."""
    if one.subject != other.subject or one.public_key() != other.public_key():
        return False
    try:
        said, others = (
            {extension.oid: extension.value for extension in each.extensions if extension.oid not in _BY_WHOM}
            for each in (one, other)
        )
    except ValueError:  # an extension that cannot be read
        return False
    return said == others


def _is_signed(one: x509.Certificate, by: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _verified_by(secured: ssl.SSLSocket) -> list[x509.Certificate]:
    """The chain from the other side's certificate to one that is believed."""
    return _chain_of(secured, "get_verified_chain")


def _shown_by(secured: ssl.SSLSocket) -> list[x509.Certificate]:
    """All that the other side shows."""
    return _chain_of(secured, "get_unverified_chain")


def _believed_by(secured: ssl.SSLSocket) -> list[x509.Certificate]:
    """The authorities that are believed; of a computer's own some are too odd to be read, and have no twins."""
    found = []
    for one in secured.context.get_ca_certs(binary_form=True):
        with contextlib.suppress(ValueError):
            found.append(x509.load_der_x509_certificate(one))
    return found


def _chain_of(secured: ssl.SSLSocket, name: str) -> list[x509.Certificate]:
    if hasattr(secured, name):  # from Python 3.13 on
        return [x509.load_der_x509_certificate(one) for one in getattr(secured, name)()]
    chain = getattr(secured._sslobj, name)() or []  # type: ignore[attr-defined]  # noqa: SLF001 - until then
    return [x509.load_pem_x509_certificate(one.public_bytes().encode("ascii")) for one in chain]
