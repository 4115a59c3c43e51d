"""What agent and cloud let one configure of MQTT in the same words. Bounds and defaults are each program's own."""

from enum import StrEnum
from pathlib import Path


class MqttProtocol(StrEnum):
    """Which MQTT to speak; AUTO tries 5 and falls back to 3.1.1 where the broker refuses it."""

    AUTO = "auto"
    V5 = "5"
    V311 = "3.1.1"


def require_tls_files(ca_file: Path | None, certificate_file: Path | None, key_file: Path | None) -> None:
    """TLS is used exactly where `ca_file` is set; a client certificate comes with its key. Raises ValueError."""
    if (certificate_file is None) != (key_file is None):
        raise ValueError("certificate_file goes with key_file; set both or neither")
    if certificate_file and ca_file is None:
        raise ValueError("certificate_file needs ca_file to know the broker by; add ca_file")
