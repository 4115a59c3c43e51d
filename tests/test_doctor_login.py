"""What the doctor says of the provider by which people log in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from answering import DISCOVERY, KEYS, Answering, serving
from fastapi import Response
from logging_in import CLIENT, Issuer

from pledgewatch_cloud import doctor
from pledgewatch_cloud.config import LoginSettings
from pledgewatch_cloud.doctor import Finding
from pledgewatch_cloud.login.login import CALLBACK_PATH

BASE = "http://127.0.0.1:8420"


@pytest.fixture(scope="module")
def served() -> Iterator[Answering]:
    with serving() as made:
        yield made


@pytest.fixture
def answering(served: Answering) -> Answering:
    served.usual()
    served.answers["/authorize"] = {"a page": "of its own"}
    return served


async def found(issuer: str, **changes: Any) -> dict[str, Finding]:
    """What is found of a provider."""
    usual: dict[str, Any] = {"issuer": issuer, "client_id": CLIENT, "base_url": BASE, "allow_private_networks": True}
    return {one.what: one for one in await doctor._login(LoginSettings(**(usual | changes)))}


async def test_a_provider_that_is_well_is_found_well(tmp_path: Path) -> None:
    with Issuer(tmp_path, BASE) as issuer:
        said = await found(issuer.url)
        assert {one.what: one.is_well for one in said.values()} == {
            "login": True,
            "login clock": True,
            "login page": True,
        }
        assert said["login"].text == f"{issuer.url} answers, 1 keys; logging out is passed on to it"
        assert said["login page"].text == f"people are sent there and come back to {BASE}{CALLBACK_PATH}"
        strange = await found(issuer.url, base_url="http://127.0.0.1:9999")
        assert "HTTP 400" in strange["login page"].text
        assert strange["login page"].text.endswith(
            f"http://127.0.0.1:9999{CALLBACK_PATH} as an address to come back to"
        )
        assert not strange["login page"].is_well
    away = await found(issuer.url)
    assert away.keys() == {"login"}
    assert "ConnectError" in away["login"].text
    assert away["login"].text.endswith("start it, or mend [login] issuer, ca_file, allow_private_networks")


async def test_one_that_calls_itself_otherwise_or_has_no_key_is_told(answering: Answering) -> None:
    answering.answers[KEYS] = {"keys": []}
    none = await found(answering.url)
    assert (none["login"].is_well, "publishes no key" in none["login"].text) == (False, True)
    answering.usual()
    assert "so its own login goes on" in (await found(answering.url))["login"].text
    answering.answers[DISCOVERY]["issuer"] = "https://evil.example"
    other = (await found(answering.url))["login"]
    assert (other.is_well, "calls itself" in other.text) == (False, True)


async def test_a_page_that_sends_people_back_refused_is_told(answering: Answering) -> None:
    to = f"{BASE}{CALLBACK_PATH}?error=unauthorized_client&state=x"
    answering.answers["/authorize"] = Response(status_code=302, headers={"location": to})
    page = (await found(answering.url))["login page"]
    assert (page.is_well, "unauthorized_client" in page.text) == (False, True)
    answering.answers["/authorize"] = Response(status_code=302, headers={"location": f"{answering.url}/who-are-you"})
    assert (await found(answering.url))["login page"].is_well


@pytest.mark.parametrize(
    ("said", "is_well", "text"),
    [
        ("Thu, 01 Jan 1970 00:00:00 GMT", False, "behind ours, and [login] clock_skew_s is 60"),
        ("Fri, 01 Jan 2100 00:00:00 GMT", False, "ahead of ours"),
        ("", True, "does not say what time it is"),
    ],
)
def test_a_clock_by_which_no_token_counts_is_told(said: str, is_well: bool, text: str) -> None:
    one = doctor._login_clock(said, 60)
    assert (one.is_well, text in one.text) == (is_well, True)


async def test_a_secret_that_is_not_there_is_told(tmp_path: Path) -> None:
    one = (await found("http://127.0.0.1:1", client_secret_file=tmp_path / "none"))["login"]
    assert (one.is_well, one.text.endswith("mend [login] client_secret_file or ca_file")) == (False, True)
