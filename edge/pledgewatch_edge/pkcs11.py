"""The key of TLS in a PKCS#11 token, which makes it, signs with it and never gives it out.

Two libraries, as neither does both: python-pkcs11 makes the key and signs requests; OpenSSL itself signs TLS's own
handshakes, by its engine `pkcs11` (Debian: libengine-pkcs11-openssl). Python's ssl module knows no engines, so the
engine is asked by ctypes, in the very OpenSSL that the module uses, and the key that it names is given to the context.

Both log in and out of the token for the whole of their process, each unaware of the other. So python-pkcs11 is used in
a process of its own (token_process.py), which is seldom: when a device is claimed, and when it renews.
"""

import _ssl
import contextlib
import ctypes
import functools
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pledgewatch_edge.config import Pkcs11Settings
from pledgewatch_edge.identity import StateError
from pledgewatch_wire.named_file import read_named, read_named_text

_ENGINE: Final = b"pkcs11"
_PATIENCE_S: Final = 60.0  # a chip may take seconds to make a key


def key(settings: Pkcs11Settings) -> ec.EllipticCurvePrivateKey:
    """The key in the token, which signs there. Raises StateError where there is none."""
    return _key_of(settings, _asked("public", settings))


def key_or_new(settings: Pkcs11Settings) -> ec.EllipticCurvePrivateKey:
    """The same, made in the token where there is none. Raises StateError."""
    return _key_of(settings, _asked("make", settings))


def load_into(context: ssl.SSLContext, certificate_file: Path, settings: Pkcs11Settings) -> None:
    """Let a context show a certificate whose key is in the token. Raises OSError, StateError."""
    read_named(certificate_file)  # says what is wrong, which OpenSSL would not
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
        return _asked("sign", self._settings, digest.finalize())

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


def _asked(action: str, settings: Pkcs11Settings, data: bytes = b"") -> bytes:
    """What the token's process tells. Raises StateError."""
    named = (settings.module, settings.token_label, settings.key_label, settings.pin_file)
    words = [sys.executable, "-m", "pledgewatch_edge.token_process", action, *map(str, named)]
    try:
        done = subprocess.run(words, input=data, capture_output=True, timeout=_PATIENCE_S, check=False)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise StateError(f"the token {settings.token_label!r} does not answer within {_PATIENCE_S:g} s") from None
    if done.returncode != 0:
        raise StateError(done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2])
    return done.stdout


def _key_of(settings: Pkcs11Settings, der: bytes) -> ec.EllipticCurvePrivateKey:
    public = load_der_public_key(der)
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise StateError(f"the key {settings.key_label!r} of the token is none on an elliptic curve; name another")
    return _TokenKey(settings, public)


def _pin(settings: Pkcs11Settings) -> str:
    try:
        return read_named_text(settings.pin_file).rstrip("\r\n")
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
