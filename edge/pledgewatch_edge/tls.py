"""TLS as a client: whom the device believes, what it shows of itself, and why it was refused.

A certificate is judged by time too, and a board that boots in 1970 has none. There the chain and the name are verified
as ever, and time is not: else it could not so much as ask what time it is. Who stole a key whose certificate has ended
since could deceive such a board, and no other; so a clock that is kept is worth its price.

A broker says that it refuses a certificate by an alert, which with TLS 1.3 comes after the handshake. The MQTT library
makes "connection lost" of it, so the socket itself notes it.
"""

import contextlib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from pledgewatch_edge.config import BrokerSettings, DeviceSettings, Pkcs11Settings

_NO_CHECK_TIME: Final = ssl.VerifyFlags(0x200000)  # X509_V_FLAG_NO_CHECK_TIME, for which the ssl module has no name
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
    on_refusal: Callable[[str], None] | None = None,
) -> ssl.SSLContext:
    """A context that believes a file, one certificate, or where neither is given whom this computer believes.
    `on_refusal` is told why the other side refuses us.

    Raises OSError where a file cannot be read or is none, ssl.SSLError (one of them) where key and certificate do not
    belong together, StateError where a token cannot be used.
    """
    context = ssl.create_default_context(cafile=ca_file, cadata=ca_der)
    if ca_file or ca_der:
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # what is named is believed, root or not
    if not judges_time:
        context.verify_flags |= _NO_CHECK_TIME
    if shown is not None and isinstance(shown.key, Path):
        context.load_cert_chain(shown.certificate_file, shown.key)
    elif shown is not None and isinstance(shown.key, Pkcs11Settings):
        from pledgewatch_edge import pkcs11  # noqa: PLC0415 - few devices have a token

        pkcs11.load_into(context, shown.certificate_file, shown.key)
    if on_refusal is not None:
        context.sslsocket_class = _noting(on_refusal)
    return context


def _noting(note: Callable[[str], None]) -> type[ssl.SSLSocket]:
    """A socket that tells why it was refused, where it was."""

    @contextlib.contextmanager
    def noted() -> Iterator[None]:
        try:
            yield
        except ssl.SSLError as error:
            _, _, alert = (error.reason or "").partition(_ALERT)
            if alert in _WHY:
                note(_WHY[alert])
            raise

    class Socket(ssl.SSLSocket):
        def read(self, *arguments: Any, **named: Any) -> Any:
            with noted():
                return super().read(*arguments, **named)

        def do_handshake(self, *arguments: Any, **named: Any) -> None:
            try:
                with noted():
                    super().do_handshake(*arguments, **named)
            except OSError:
                self.close()  # the MQTT library forgets it
                raise

    return Socket
