"""A process that makes a key in a PKCS#11 token, tells its public half, or signs with it; see pkcs11.py.

    python -m pledgewatch_edge.token_process (make | public | sign) MODULE TOKEN_LABEL KEY_LABEL PIN_FILE

The public key goes to the output stream in DER, a signature over the SHA-256 on the input stream in DER too; what is
wrong is one sentence on the error stream, with exit code 1. Labels and names of files are no secrets, and the PIN is
read from its file.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import utils

from pledgewatch_wire.named_file import read_named_text

_HALF: Final = 32  # bytes of each number of a signature of P-256


def main(arguments: Sequence[str]) -> int:
    """Do it; returns the exit code."""
    action, module, token_label, key_label, pin_file = arguments
    try:
        pin = read_named_text(Path(pin_file)).rstrip("\r\n")
    except OSError as error:
        return _failed(f"{pin_file}: {error.strerror}; put the token's PIN there")
    try:
        import pkcs11  # noqa: PLC0415 - there only where a token is
    except ImportError:
        return _failed("[device] pkcs11 needs the library python-pkcs11: pip install 'pledgewatch[pkcs11]'")
    acts: dict[str, Callable[[Any, Any, str], bytes | None]] = {"make": _make, "public": _public, "sign": _sign}
    try:
        token = pkcs11.lib(module).get_token(token_label=token_label)
        with token.open(rw=action == "make", user_pin=pin) as session:
            told = acts[action](pkcs11, session, key_label)
    except pkcs11.PKCS11Error as error:
        why = str(error) or type(error).__name__
        return _failed(f"the token {token_label!r} of {module} cannot be used: {why}")
    if told is None:
        return _failed(f"the token {token_label!r} has no key {key_label!r}; claim the device again")
    sys.stdout.buffer.write(told)
    return 0


def _failed(why: str) -> int:
    sys.stderr.write(f"{why}\n")
    return 1


def _make(pkcs11: Any, session: Any, label: str) -> bytes | None:
    """Make the key where there is none; the public key."""
    from pkcs11.util.ec import encode_named_curve_parameters  # noqa: PLC0415 - as above

    if _public(pkcs11, session, label) is None:
        curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        parameters.generate_keypair(store=True, label=label)
    return _public(pkcs11, session, label)


def _public(pkcs11: Any, session: Any, label: str) -> bytes | None:
    from pkcs11.util.ec import encode_ec_public_key  # noqa: PLC0415 - as above

    try:
        found = session.get_key(pkcs11.ObjectClass.PUBLIC_KEY, pkcs11.KeyType.EC, label)
    except pkcs11.NoSuchKey:
        return None
    return bytes(encode_ec_public_key(found))


def _sign(pkcs11: Any, session: Any, label: str) -> bytes | None:
    try:
        key = session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.KeyType.EC, label)
    except pkcs11.NoSuchKey:
        return None
    plain = key.sign(sys.stdin.buffer.read(), mechanism=pkcs11.Mechanism.ECDSA)
    return utils.encode_dss_signature(int.from_bytes(plain[:_HALF], "big"), int.from_bytes(plain[_HALF:], "big"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
