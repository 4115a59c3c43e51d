"""The file of a gateway that changes while a claim is carried out: nothing that somebody wrote is lost unsaid."""

import fcntl
import os
from collections.abc import Callable
from typing import Any

import pytest
from test_gateway_claim import GATEWAY, Site, cloud, site

from pledgewatch_edge import claim_steps, config_file
from pledgewatch_gateway.claiming import GatewayFile
from pledgewatch_gateway.config import load
from pledgewatch_wire.settings import SettingsError

__all__ = ["cloud", "site"]


def while_asked(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Once, while the cloud is asked."""
    asked, acts = claim_steps._asked, [act]

    def slow(*given: Any, **named: Any) -> Any:
        for one in acts[:]:
            acts.clear()
            one()
        return asked(*given, **named)

    monkeypatch.setattr(claim_steps, "_asked", slow)


def test_two_that_claim_at_once_both_have_their_zones(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    other = site.invite("racks")
    while_asked(monkeypatch, lambda: claim_steps.carry_out(other, GatewayFile(site.file), ca_file=None, say=print))
    assert site.claim(monkeypatch, site.invite("cold")) == 0
    assert [zone.cloud_url for zone in load(site.file).zones] == 2 * [site.cloud.url]


def test_what_a_person_saves_meanwhile_stays(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    while_asked(monkeypatch, lambda: site.write(f"{GATEWAY}\n[checkpoint]\nevery_s = 2.0 # often\n"))
    assert site.claim(monkeypatch, site.invite("cold")) == 0
    assert "every_s = 2.0 # often" in site.file.read_text(encoding="utf-8")
    assert load(site.file).zones[0].cloud_url == site.cloud.url


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GATEWAY.replace('"cold"', '"hall"'), "no zone here has the device cold"),
        (GATEWAY.replace('"cold"', '"cold"\nfolder = "new"'), "its zone had the folder "),
        (GATEWAY.replace('name = "site-la-3"', 'name = "site-9"'), "and this is site-9 of harbour-line"),
        (GATEWAY + "[", "is not TOML"),
        (f"broker = {{ keep_alive_s = 5 }}\n{GATEWAY}", "broker has no host, and none can be put there"),
        (None, "cannot be read"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_the_same_claim_does_the_rest(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    text: str | None,
    words: str,
) -> None:
    claim = site.invite("cold")
    with monkeypatch.context() as patch:
        while_asked(patch, site.file.unlink if text is None else lambda: site.write(text))
        assert site.claim(monkeypatch, claim) == 1
    said = capsys.readouterr()
    assert words in said.err
    assert "claim 1: cold is claimed, but its lines were not written; mend this and run the same again: " in said.err
    assert "has what is cold's now" not in said.out
    assert site.file.read_text(encoding="utf-8") == text if text is not None else not site.file.exists()
    site.write(GATEWAY)
    assert site.claim(monkeypatch, claim) == 0
    assert len(site.cloud.asked) == 1


@pytest.mark.parametrize(
    "broker", ["broker = { keep_alive_s = 5 }\n", 'broker = { host = "" }\n', 'broker.host = ""\n']
)
def test_a_file_that_can_take_no_broker_is_told_of_before_the_code_is_spent(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broker: str
) -> None:
    site.write(broker + GATEWAY)
    assert site.claim(monkeypatch, site.invite("cold")) == 2
    assert "write it as a section [broker], and leave out host" in capsys.readouterr().err
    assert not site.cloud.asked


def test_a_claim_after_which_the_file_cannot_be_used_or_has_not_its_zone_has_not_done_all(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, words in ((GATEWAY, "cold has been claimed, and its lines are not there"), ("[", "is not TOML")):
        with monkeypatch.context() as patch:
            patch.setattr(config_file, "write", lambda *_, text=text: site.file.write_text(text, encoding="utf-8"))
            assert site.claim(monkeypatch, site.invite("cold")) == 1
        assert f"- {words}" in capsys.readouterr().out
        site.write(GATEWAY)


def test_who_waits_for_another_that_changes_the_file_does_not_wait_for_ever(site: Site) -> None:
    held = os.open(site.folder, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(SettingsError, match="another program is changing it"), config_file.sole_edit(site.file, 0.1):
        pass
    os.close(held)
    with config_file.sole_edit(site.file, 0.0):
        pass
