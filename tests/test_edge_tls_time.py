"""The other side's chain by the moments that the agent's clocks tell, against a TLS server on the loopback."""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from pledgewatch_edge.tls import client_context

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("root", "middle", "broker", "stranger")}


def certificate(name: str, by: str, begin_days: int, end_days: int, *, key: str = "", signs: str = "") -> bytes:
    """PEM of one that `by` gave; with the key of another, or signed by the key of another, where that is said."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, by)]))
        .public_key(KEYS[key or name].public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + begin_days * DAY)
        .not_valid_after(NOW + end_days * DAY)
        .add_extension(x509.BasicConstraints(ca=name != "broker", path_length=None), critical=True)
    )
    if name == "broker":
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    return builder.sign(KEYS[signs or by], hashes.SHA256()).public_bytes(Encoding.PEM)


ROOT = certificate("root", "root", -1_000, 1_000)
ROOT_OLD = certificate("root", "root", -1_000, -10)
ROOT_LATER = certificate("root", "root", 10, 2_000)
MIDDLE = certificate("middle", "root", -500, 500)
MIDDLE_OLD = certificate("middle", "root", -500, -10)
MIDDLE_FALSE = certificate("middle", "root", -500, 500, signs="stranger")
LEAF = certificate("broker", "middle", -5, 5)
LEAF_OLD = certificate("broker", "middle", -50, -5)
LEAF_LATER = certificate("broker", "middle", 5, 50)
RIGHT = (0, 900)  # in days: the receiver is right, the computer years ahead

Answers = Callable[[Sequence[bytes], Sequence[bytes], Sequence[int]], str]


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    """Connect to who shows a chain, believing some, by moments in days from now; why not, or nothing where it is."""

    def answered(believed: Sequence[bytes], shown: Sequence[bytes], at_days: Sequence[int]) -> str:
        (tmp_path / "ca.pem").write_bytes(b"".join(believed))
        own = KEYS["broker"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (tmp_path / "server.pem").write_bytes(own + b"".join(shown))
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(tmp_path / "server.pem")
        moments = [round((NOW + days * DAY).timestamp() * 1_000) for days in at_days]
        context = client_context(ca_file=tmp_path / "ca.pem", judged_at=moments)
        with socket.create_server(("127.0.0.1", 0)) as listening:

            def serve() -> None:
                plain, _ = listening.accept()
                try:
                    with server.wrap_socket(plain, server_side=True) as secured:
                        secured.recv(1)
                except OSError:
                    pass

            serving = threading.Thread(target=serve, daemon=True)
            serving.start()
            try:
                with (
                    socket.create_connection(listening.getsockname(), 5) as plain,
                    context.wrap_socket(plain, server_hostname="broker") as secured,
                ):
                    secured.send(b"x")
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
            finally:
                serving.join(5)
        return ""

    return answered


@pytest.mark.parametrize(
    ("believed", "shown", "at_days", "is_good"),
    [
        ([ROOT], [LEAF, MIDDLE], RIGHT, True),
        ([ROOT], [LEAF_OLD, MIDDLE], RIGHT, False),
        ([ROOT], [LEAF_LATER, MIDDLE], RIGHT, False),
        ([ROOT], [LEAF, MIDDLE_OLD], RIGHT, False),  # not the leaf alone is judged
        ([ROOT_OLD], [LEAF, MIDDLE], RIGHT, False),
        ([ROOT], [LEAF_OLD, MIDDLE], (-7, 900), True),
        ([ROOT], [LEAF_LATER, MIDDLE_OLD], (-20, 10), False),  # the one at one moment, the other at another
        ([ROOT_OLD, ROOT], [LEAF, MIDDLE], RIGHT, True),  # an authority before and after it was renewed
        ([ROOT, ROOT_OLD], [LEAF, MIDDLE], RIGHT, True),
        ([ROOT_LATER, ROOT], [LEAF, MIDDLE], RIGHT, True),
        ([ROOT_OLD, ROOT_LATER], [LEAF, MIDDLE], RIGHT, False),
        ([ROOT], [LEAF, MIDDLE_OLD, MIDDLE], RIGHT, True),
        ([ROOT], [LEAF, MIDDLE_OLD, MIDDLE_FALSE], RIGHT, False),  # whoever has ended cannot renew itself
        ([ROOT_OLD], [LEAF, MIDDLE, ROOT], RIGHT, False),  # nor can it be shown by who is to be believed
        ([MIDDLE_OLD, MIDDLE], [LEAF], RIGHT, True),
    ],
)
def test_a_chain_is_good_where_all_of_it_is_at_one_moment(
    answers: Answers, believed: Sequence[bytes], shown: Sequence[bytes], at_days: Sequence[int], is_good: bool
) -> None:
    why = "" if is_good else "it is good at no moment that a clock here tells"
    assert answers(believed, shown, at_days) == why


def test_a_certificate_of_the_same_name_and_another_key_stands_for_none(answers: Answers) -> None:
    other = certificate("root", "root", -1_000, 1_000, key="stranger", signs="stranger")
    assert answers([ROOT_OLD, other], [LEAF, MIDDLE], RIGHT) != ""
