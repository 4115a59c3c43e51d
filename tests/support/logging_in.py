"""Logging in: the development issuer as a process of its own, a console that people log in at, and a browser of a few
lines that keeps cookies and follows nothing by itself."""

import html
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import httpx2
from builders import ManualClock
from seeing import USERS, Seeing
from streaming import Served

from pledgewatch_cloud.api.access import Service
from pledgewatch_cloud.clock import SystemClock
from pledgewatch_cloud.login.login import CALLBACK_PATH, Login
from pledgewatch_cloud.login.provider import Client, Provider
from pledgewatch_cloud.login.tokens import Terms
from pledgewatch_cloud.outbox.webhook import Tls

CLIENT, SECRET, AUDIENCE = "pledgewatch", "what the client shows: 100% its own + nobody's", "pledgewatch-api"
PEOPLE = {"anna": "Anna Kern", "kim": "Kim Ode", "bo": "Bo <Lin>"}
"""By subject. Anna is `lender-one` and Kim `keeper-kim`; Bo is nobody."""


class Issuer:
    """The development issuer, until the context ends."""

    def __init__(self, folder: Path, *bases: str, port: int = 0) -> None:
        """`bases`: where the consoles are that people come back to."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "login.secret").write_text(SECRET, encoding="utf-8")
        self.config, self._port_file = folder / "issuer.toml", folder / "port"
        people = "".join(f'[[people]]\nsubject = "{one}"\nname = "{name}"\n' for one, name in PEOPLE.items())
        self.config.write_text(
            f'[issuer]\nport = {port}\nport_file = "port"\n[[clients]]\nid = "{CLIENT}"\nsecret_file = "login.secret"\n'
            f'audience = "{AUDIENCE}"\nredirect_urls = {[base + CALLBACK_PATH for base in bases]}\n'
            f"logout_urls = {[f'{base}/' for base in bases]}\n{people}",
            encoding="utf-8",
        )
        self._log = (folder / "issuer.log").open("wb")

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        command = [sys.executable, "-m", "pledgewatch_sim", "issuer", "--config", str(self.config)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        while not self._port_file.exists():
            assert self._process.poll() is None
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{int(self._port_file.read_text(encoding='ascii'))}"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._process.terminate()
        assert self._process.wait(60) == 0
        self._log.close()


def login_by(issuer: str, base_url: str, now_s: Any = time.monotonic, **changes: Any) -> Login:
    """Logins by an issuer of this machine. `changes` are of what a Login is told."""
    client = Client(CLIENT, SECRET, base_url + CALLBACK_PATH)
    provider = Provider(issuer, client, time.monotonic, timeout_s=5, tls=Tls(), allow_private=True)
    usual = {"clock": SystemClock(), "now_s": now_s, "idle_s": 1_800, "whole_s": 43_200}
    return Login(provider, Terms(issuer, CLIENT, AUDIENCE, 60), base_url, **(usual | changes))


def subject(issuer: str, name: str) -> dict[str, Any]:
    """What the book has of somebody who logs in."""
    return {"subjects": [{"issuer": issuer, "subject": name}]}


class Console:
    """A console at which Anna and Kim may log in, over the API of a `Seeing`, served. `now_s` is what sessions see of
    time."""

    def __init__(self, folder: Path, issuer: str, port: int, **changes: Any) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.issuer = issuer
        self.now = ManualClock(1_000_000)
        self.login = login_by(issuer, changes.pop("base_url", self.url), lambda: self.now.at_ms / 1_000, **changes)
        self.seeing = Seeing(folder, login=self.login)
        for who, name in (("lender-one", "anna"), ("keeper-kim", "kim")):
            self.amend_user(who, **subject(issuer, name))
        self.served = Served(self.seeing.client.app, port)

    @property
    def service(self) -> Service:
        """The service behind it."""
        found: Service = self.seeing.client.app.state.service
        return found

    def __enter__(self) -> Self:
        """Serve it, and have it read what the issuer says of itself."""
        self.served.__enter__()
        self.served.run(self.login.provider.read())
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.served.server.should_exit = True
        self.service.streams.end()
        self.served.run(self.login.provider.__aexit__(None, None, None))
        self.served.__exit__()
        self.seeing.close()

    def amend_user(self, who: str, **changes: Any) -> None:
        """Somebody's part of the book, while nothing is served."""
        self.seeing.keeping.amend(users=[{**USERS[who].user, **changes}])


class Person:
    """Somebody at a browser: cookies are kept, and each step is taken by itself."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.http = httpx2.Client(base_url=console.url, follow_redirects=False, timeout=20)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the browser."""
        self.http.close()

    def sent_to(self, page: str = "") -> str:
        """Where the console sends them to log in."""
        answer = self.http.get("/login", params={"next": page})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def chosen(self, url: str, name: str) -> str:
        """Where the issuer sends them back to once they have said who they are."""
        page = self.http.get(url)
        assert page.status_code == 200, page.text
        fields = {
            one: html.unescape(value)
            for one, value in re.findall(r'type="hidden" name="(\w+)" value="(.*?)"', page.text)
        }
        answer = self.http.post(url.partition("?")[0], data={**fields, "person": name})
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def log_in(self, name: str, page: str = "") -> httpx2.Response:
        """The whole way; what the console answers at its end."""
        return self.http.get(self.chosen(self.sent_to(page), name))

    @property
    def guard(self) -> dict[str, str]:
        """What a page of the console says with what it writes."""
        found = next((value for name, value in self.http.cookies.items() if name.endswith("-guard")), "")
        return {"x-csrf-token": found, "origin": self.console.login.origin}

    def get(self, path: str) -> httpx2.Response:
        """What the API answers them."""
        return self.http.get(path)


def fields_of(url: str) -> dict[str, str]:
    """What an address has in its query."""
    return dict(parse_qsl(urlsplit(url).query))
