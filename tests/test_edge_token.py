"""The key of TLS in a PKCS#11 token: made there, signing there, shown to a real Mosquitto, never in a file."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from brokers import BrokerProcess
from enrolling import Enrolling, enrolling
from needed import NEEDS_PACKAGE, system_program

from pledgewatch_edge.claiming import carry_out
from pledgewatch_edge.clock import AgentClock
from pledgewatch_edge.config import BrokerSettings, DeviceSettings, Pkcs11Settings
from pledgewatch_edge.connection import Connector
from pledgewatch_edge.identity import StateError
from pledgewatch_edge.renewal import Renewal
from pledgewatch_edge.tls import Shown, shown_to_broker
from pledgewatch_edge.tls_identity import Standing, TlsIdentity, standing_of

DEVICE = "cont-0417"
PIN = "246810"
MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pkcs11Settings]:
    """A token in software, in a folder. Its library reads the environment once, so all tests share it."""
    program = system_program("softhsm2-util")
    if not list(Path("/usr/lib").glob("*/engines-3/pkcs11.so")):
        pytest.skip(f"{NEEDS_PACKAGE} libengine-pkcs11-openssl")
    folder = tmp_path_factory.mktemp("token")
    (folder / "tokens").mkdir()
    (folder / "conf").write_text(f"directories.tokendir = {folder}/tokens\n", encoding="ascii")
    (folder / "pin").write_text(f"{PIN}\n", encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "conf"))
        words = ["--init-token", "--free", "--label", "pledgewatch", "--so-pin", "1357", "--pin", PIN]
        subprocess.run([program, *words], check=True, capture_output=True, env=os.environ)
        yield Pkcs11Settings(module=MODULE, token_label="pledgewatch", key_label="tls", pin_file=folder / "pin")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Enrolling]:
    with enrolling(tmp_path / "cloud") as one:
        yield one


def claim(cloud: Enrolling, token: Pkcs11Settings, folder: Path) -> None:
    """Claim a device whose configuration names the token."""
    (folder / "edge.toml").write_text(
        f'[device.pkcs11]\nmodule = "{token.module}"\ntoken_label = "{token.token_label}"\n'
        f'key_label = "{token.key_label}"\npin_file = "{token.pin_file}"\n',
        encoding="utf-8",
    )
    carry_out(
        cloud.invite(DEVICE),
        config=folder / "edge.toml",
        state_folder=folder / "state",
        ca_file=None,
        replace=False,
        say=lambda _: None,
    )


async def test_the_broker_lets_in_a_key_that_never_leaves_its_token(
    cloud: Enrolling, token: Pkcs11Settings, tmp_path: Path
) -> None:
    claim(cloud, token, tmp_path)
    state = tmp_path / "state"
    assert not list(state.glob("tls.key*"))
    identity = TlsIdentity(state, token)
    assert identity.is_whole()
    assert standing_of(state, token)["wrong"] == []
    (tmp_path / "broker").mkdir()
    own = cloud.folder
    extra = (
        f"listener %d 127.0.0.1\ncafile {own}/ca.pem\ncertfile {own}/server.pem\nkeyfile {own}/server.key\n"
        "require_certificate true\nuse_identity_as_username true\n"
    )
    broker = BrokerProcess("mosquitto", tmp_path / "broker", extra=extra)
    broker.start()
    try:
        device = DeviceSettings(
            operator="harbour-line", name=DEVICE, state_folder=state, pkcs11=token, cloud_url=cloud.url
        )
        settings = BrokerSettings(host="127.0.0.1", port=broker.port, ca_file=state / "broker-ca.crt")
        shown = shown_to_broker(settings, device, identity.certificate_file)
        will = aiomqtt.Will("pw/1/x/y/status", b"", qos=1)
        async with Connector(settings, "x", shown).connect(will) as client:
            await client.publish("x", b"y", qos=1)

        async def tries(shown: Shown) -> bool:
            async with Connector(settings, "x").connect(will, shown):
                return True

        before = identity.certificate()
        term = identity.term()
        assert term is not None
        cloud.clock_ahead_s = 86_400.0 * 70
        clock = AgentClock(system_ms=lambda: term.renew_ms + 1, is_synchronised=lambda: True)
        renewal = Renewal(device, identity, Standing(state), tries, clock)
        assert await renewal.step() == 0.0
        assert identity.certificate() != before
        assert identity.is_whole()
    finally:
        broker.kill()


def test_a_token_that_cannot_be_used_is_named(token: Pkcs11Settings, tmp_path: Path) -> None:
    (tmp_path / "pin").write_text("0000\n", encoding="ascii")
    changes: dict[str, dict[str, Any]] = {
        "has no key 'other'": {"key_label": "other"},
        "the token 'pledgewatch' of .* cannot be used": {"pin_file": tmp_path / "pin"},
        "the token 'pledgewatch' of .*/pin cannot be used": {"module": tmp_path / "pin"},
    }
    (tmp_path / "tls.crt").write_text("", encoding="ascii")
    for wrong, change in changes.items():
        values = {name: getattr(token, name) for name in ("module", "token_label", "key_label", "pin_file")}
        settings = Pkcs11Settings(**{**values, **change})
        with pytest.raises(StateError, match=wrong):
            TlsIdentity(tmp_path, settings).signs(b"x")
