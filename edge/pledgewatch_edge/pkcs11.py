"""The key of TLS in a PKCS#11 token, which makes it, signs with it and never gives it out.

Two libraries, as neither does both: python-pkcs11 makes the key and signs requests; OpenSSL itself signs TLS's own
handshakes, by its engine `pkcs11` (Debian: libengine-pkcs11-openssl). Python's ssl module knows no engines, so the
engine is asked by ctypes, in the very OpenSSL that the module uses, and the key that it names is given to the context.

A session is opened for each use and closed again: a token that was taken out and put back is no matter.
"""

import _ssl
import contextlib
import ctypes
import functools
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pledgewatch_edge.config import Pkcs11Settings
from pledgewatch_edge.identity import StateError

try:
    import pkcs11 as library
    from pkcs11.util.ec import encode_ec_public_key, encode_named_curve_parameters
except ImportError:
    raise StateError("[device] pkcs11 needs the library python-pkcs11: pip install 'pledgewatch[pkcs11]'") from None

_ENGINE: Final = b"pkcs11"
_HALF: Final = 32  # bytes of each number of a signature of P-256


def key(settings: Pkcs11Settings) -> ec.EllipticCurvePrivateKey:
    """The key in the token, which signs there. Raises StateError where there is none."""
    with _session(settings) as session:
        found = _public(session, settings)
    if found is None:
        raise StateError(
            f"the token {settings.token_label!r} has no key {settings.key_label!r}; claim the device again"
        )
    return _TokenKey(settings, found)


def key_or_new(settings: Pkcs11Settings) -> ec.EllipticCurvePrivateKey:
    """The same, made in the token where there is none. Raises StateError."""
    with _session(settings, writes=True) as session:
        if _public(session, settings) is None:
            parameters = session.create_domain_parameters(
                library.KeyType.EC,
                {library.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")},
                local=True,
            )
            parameters.generate_keypair(store=True, label=settings.key_label)
    return key(settings)


def load_into(context: ssl.SSLContext, certificate_file: Path, settings: Pkcs11Settings) -> None:
    """Let a context show a certificate whose key is in the token. Raises OSError, StateError."""
    certificate_file.read_bytes()  # says what is wrong, which OpenSSL would not
    openssl = _openssl()
    named = f"pkcs11:token={quote(settings.token_label)};object={quote(settings.key_label)};type=private"
    pin = _pin(settings)
    with contextlib.ExitStack() as stack:
        engine = _engine(str(settings.module))
        if not openssl.ENGINE_ctrl_cmd_string(engine, b"PIN", pin.encode("utf-8"), 0):
            raise StateError(f"the token {settings.token_label!r} takes no PIN")
        private = openssl.ENGINE_load_private_key(engine, named.encode("ascii"), None, None)
        if not private:
            raise StateError(
                f"the token {settings.token_label!r} has no key {settings.key_label!r}, or another PIN than that of "
                f"{settings.pin_file}"
            )
        stack.callback(openssl.EVP_PKEY_free, private)
        inner = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)  # the SSL_CTX is its first field
        if openssl.SSL_CTX_use_certificate_chain_file(inner, bytes(certificate_file)) != 1:
            raise StateError(f"{certificate_file}: is no certificate in PEM; claim the device again")
        if openssl.SSL_CTX_use_PrivateKey(inner, private) != 1:
            raise StateError(f"{certificate_file} is not of the key in the token; claim the device again")


class _TokenKey(ec.EllipticCurvePrivateKey):
    """A key that signs in its token, for who wants one of `cryptography`."""

    def __init__(self, settings: Pkcs11Settings, public: ec.EllipticCurvePublicKey) -> None:
        self._settings = settings
        self._public = public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """By the token, ECDSA with SHA-256. Raises StateError."""
        assert isinstance(signature_algorithm.algorithm, hashes.SHA256)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(data)
        with _session(self._settings) as session:
            private = session.get_key(
                object_class=library.ObjectClass.PRIVATE_KEY,
                key_type=library.KeyType.EC,
                label=self._settings.key_label,
            )
            plain = private.sign(digest.finalize(), mechanism=library.Mechanism.ECDSA)
        return utils.encode_dss_signature(int.from_bytes(plain[:_HALF], "big"), int.from_bytes(plain[_HALF:], "big"))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        raise NotImplementedError

    def private_numbers(self) -> NoReturn:
        raise NotImplementedError

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:  # noqa: A002
        raise NotImplementedError

    def __copy__(self) -> "_TokenKey":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "_TokenKey":
        return self


@contextlib.contextmanager
def _session(settings: Pkcs11Settings, *, writes: bool = False) -> Iterator[Any]:
    """A session with the token. Raises StateError where it cannot be used."""
    pin = _pin(settings)
    try:
        module = library.lib(str(settings.module))
        module.reinitialize()  # else a token that came later is not seen
        token = module.get_token(token_label=settings.token_label)
        with token.open(rw=writes, user_pin=pin) as session:
            yield session
    except library.PKCS11Error as error:
        why = str(error) or type(error).__name__
        raise StateError(f"the token {settings.token_label!r} of {settings.module} cannot be used: {why}") from None
    except RuntimeError as error:
        raise StateError(f"{settings.module} is no PKCS#11 library: {error}") from None


def _public(session: Any, settings: Pkcs11Settings) -> ec.EllipticCurvePublicKey | None:
    """The public half of the key in the token; None where there is none."""
    try:
        found = session.get_key(
            object_class=library.ObjectClass.PUBLIC_KEY, key_type=library.KeyType.EC, label=settings.key_label
        )
    except library.NoSuchKey:
        return None
    public = load_der_public_key(encode_ec_public_key(found))
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise StateError(f"the key {settings.key_label!r} of the token is none on an elliptic curve; name another")
    return public


def _pin(settings: Pkcs11Settings) -> str:
    try:
        return settings.pin_file.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise StateError(f"{settings.pin_file}: {error.strerror}; put the token's PIN there") from None


@functools.cache
def _openssl() -> ctypes.CDLL:
    """The OpenSSL that the ssl module uses."""
    openssl = ctypes.CDLL(_ssl.__file__)
    for name in ("ENGINE_by_id", "ENGINE_load_private_key"):
        getattr(openssl, name).restype = ctypes.c_void_p
    openssl.ENGINE_by_id.argtypes = [ctypes.c_char_p]
    openssl.ENGINE_init.argtypes = [ctypes.c_void_p]
    openssl.ENGINE_ctrl_cmd_string.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int]
    openssl.ENGINE_load_private_key.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
    openssl.EVP_PKEY_free.argtypes = [ctypes.c_void_p]
    openssl.EVP_PKEY_free.restype = None
    openssl.SSL_CTX_use_certificate_chain_file.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    openssl.SSL_CTX_use_PrivateKey.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    return openssl


@functools.cache
def _engine(module: str) -> int:
    """The engine for a token's library, kept for the life of the process. Raises StateError."""
    openssl = _openssl()
    found = openssl.ENGINE_by_id(_ENGINE)
    if not found:
        raise StateError("OpenSSL has no engine pkcs11; install it (Debian: apt-get install libengine-pkcs11-openssl)")
    is_ready = openssl.ENGINE_ctrl_cmd_string(found, b"MODULE_PATH", module.encode("utf-8"), 0)
    if not is_ready or not openssl.ENGINE_init(found):
        raise StateError(f"{module} cannot be used by OpenSSL's engine pkcs11")
    return int(found)
