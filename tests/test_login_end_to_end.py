"""The real service and the real issuer, each a process: the service waits for its issuer, lets people in, and writes no
secret into its log."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from api_cloud import assert_problem, shown
from logging_in import AUDIENCE, CLIENT, SECRET, Issuer, Person, fields_of, subject
from station import Process

from pledgewatch_sim.__main__ import main as sim_main
from pledgewatch_sim.programs import free_port

TOKEN = "the-keepers-own-token-of-the-test"
CONFIG = """[service]
data_folder = "data"
[broker]
embedded = true
port = 0
[api]
port = {port}
token_file = "api.token"
[login]
issuer = "{issuer}"
client_id = "{client}"
client_secret_file = "login.secret"
base_url = "{base}"
audience = "{audience}"
allow_private_networks = true
"""


class Cloud:
    """The service as a process; what a `Person` needs of a console."""

    def __init__(self, folder: Path, issuer: str) -> None:
        port = free_port()
        self.url, self.issuer = f"http://127.0.0.1:{port}", issuer
        text = CONFIG.format(port=port, issuer=issuer, client=CLIENT, base=self.url, audience=AUDIENCE)
        (folder / "cloud.toml").write_text(text, encoding="utf-8")
        (folder / "api.token").write_text(TOKEN, encoding="utf-8")
        (folder / "login.secret").write_text(SECRET, encoding="utf-8")
        config = str(folder / "cloud.toml")
        self.process = Process("cloud", ["pledgewatch_cloud", "run", "--config", config], folder)


def eventually(found: Callable[[], Any]) -> Any:
    """What is found as soon as there is something."""
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        try:
            if one := found():
                return one
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("it did not come")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path, f"http://127.0.0.1:{free_port()}")
    made.process.start()
    yield made
    if made.process.alive:
        made.process.kill()


def test_people_log_in_as_soon_as_the_issuer_is_there_and_no_log_has_a_secret(cloud: Cloud, tmp_path: Path) -> None:
    with Person(cast(Any, cloud)) as person:  # it needs the address alone
        eventually(lambda: person.http.get("/healthz").status_code == 200)
        assert_problem(person.http.get("/login"), 503)
        users = [{"id": "anna", "name": "Anna", "party": "bank", "role": "auditor", **subject(cloud.issuer, "anna")}]
        amended = person.http.post("/book/amendments", json={"users": users}, headers=shown(TOKEN))
        assert amended.status_code == 200, amended.text
        port = int(cloud.issuer.rpartition(":")[2])
        with Issuer(tmp_path / "issuer", cloud.url, port=port) as issuer:
            assert issuer.url == cloud.issuer
            eventually(lambda: person.http.get("/login").status_code == 303)
            back = person.chosen(person.sent_to("#/alerts"), "anna")
            assert person.get(back).headers["location"] == f"{cloud.url}/#/alerts"
            assert person.get("/viewer").json()["user"] == "anna"
            assert_problem(person.get(back), 400)
        assert person.get("/viewer").status_code == 200, "a session needs no issuer"
        kept = [SECRET, TOKEN, fields_of(back)["code"], fields_of(back)["state"], *person.http.cookies.values()]
        assert cloud.process.end() == 0
    told = cloud.process.log()
    assert told.count("does not answer, trying on") == 1
    assert told.count(f"the issuer {cloud.issuer} answers") == 1
    assert not [one for one in kept if one in told]
    assert len(kept) >= 6


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[issuer]\nhost = "0.0.0.0"\n', "asks for no password, so use a loopback address"),
        ('[issuer]\nhost = "localhost"\n', "asks for no password, so use a loopback address"),
        ("[issuer]\nport = 0\n", "[clients] is missing"),
        ("[issuer]\nusers = 1\n", "users is no key of this program"),
    ],
)
def test_the_issuer_is_of_this_machine_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, fault: str
) -> None:
    (tmp_path / "issuer.toml").write_text(text, encoding="utf-8")
    assert sim_main(["issuer", "--config", str(tmp_path / "issuer.toml"), "--check"]) == 2
    assert fault in capsys.readouterr().err


def test_the_sample_of_the_issuer_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    sample = Path(__file__).resolve().parent.parent / "samples" / "issuer.toml"
    assert sim_main(["issuer", "--config", str(sample), "--check"]) == 0
    assert "can be used" in capsys.readouterr().out


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with Issuer(tmp_path_factory.mktemp("issuer"), "https://watch.example") as made:
        yield made


ASKED = {
    "response_type": "code",
    "client_id": CLIENT,
    "redirect_uri": "https://watch.example/login/callback",
    "scope": "openid",
    "state": "s",
    "code_challenge": "x" * 43,
    "code_challenge_method": "S256",
}


@pytest.mark.parametrize(
    ("changes", "status", "word"),
    [
        ({"client_id": "other"}, 400, "invalid_request"),
        ({"redirect_uri": "https://watch.example/login/callback/"}, 400, "invalid_request"),
        ({"redirect_uri": "https://evil.example"}, 400, "invalid_request"),
        ({"response_type": "token"}, 303, "unsupported_response_type"),
        ({"scope": "profile"}, 303, "invalid_scope"),
        ({"code_challenge": ""}, 303, "invalid_request"),
        ({"code_challenge_method": "plain"}, 303, "invalid_request"),
    ],
)
def test_the_issuer_refuses_what_is_no_login_with_pkce(
    issuer: Issuer, changes: dict[str, str], status: int, word: str
) -> None:
    assert httpx2.get(f"{issuer.url}/authorize", params=ASKED, timeout=60).status_code == 200
    answer = httpx2.get(f"{issuer.url}/authorize", params=ASKED | changes, timeout=60)
    assert answer.status_code == status
    if status == 303:
        back = fields_of(answer.headers["location"])
        assert (back["error"], back["state"], back["iss"]) == (word, "s", issuer.url)
        assert answer.headers["location"].startswith("https://watch.example/login/callback?")
    else:
        assert answer.json()["error"] == word
        assert "location" not in answer.headers


def test_the_issuer_gives_tokens_only_to_the_client_of_the_code(issuer: Issuer) -> None:
    def asked(**changes: str) -> tuple[int, str]:
        answer = httpx2.post(f"{issuer.url}/authorize", data=ASKED | {"person": "anna"}, timeout=60)
        code = fields_of(answer.headers["location"])["code"]
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": ASKED["redirect_uri"],
            "code_verifier": "v",
            "client_id": CLIENT,
            "client_secret": SECRET,
        }
        answer = httpx2.post(f"{issuer.url}/token", data=form | changes, timeout=60)
        return answer.status_code, answer.json()["error"]

    assert asked(client_secret="wrong") == (401, "invalid_client")
    assert asked(client_id="other") == (401, "invalid_client")
    assert asked(grant_type="password") == (400, "unsupported_grant_type")
    assert asked(redirect_uri="https://evil.example") == (400, "invalid_grant")
    assert asked(code_verifier="wrong") == (400, "invalid_grant")
    denied = httpx2.post(f"{issuer.url}/authorize", data=ASKED | {"person": "nobody"}, timeout=60)
    assert fields_of(denied.headers["location"])["error"] == "access_denied"
