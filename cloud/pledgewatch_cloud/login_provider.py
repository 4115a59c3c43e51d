"""The provider by which people log in, made of what [login] says."""

import time

from pledgewatch_cloud.config import LoginSettings
from pledgewatch_cloud.credentials import client_secret
from pledgewatch_cloud.login.login import CALLBACK_PATH
from pledgewatch_cloud.login.provider import Client, Provider
from pledgewatch_cloud.outbox.webhook import Tls


def back_url_of(one: LoginSettings) -> str:
    """Where the provider sends people back to."""
    return one.base_url.rstrip("/") + CALLBACK_PATH


def provider_of(one: LoginSettings) -> Provider:
    """The provider, to be entered. Raises CredentialError where the client's secret, OSError where `ca_file` cannot be
    read."""
    return Provider(
        one.issuer,
        Client(one.client_id, client_secret(one), back_url_of(one)),
        time.monotonic,
        timeout_s=one.timeout_s,
        tls=Tls(one.ca_file),
        allow_private=one.allow_private_networks,
    )
