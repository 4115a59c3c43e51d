"""The demo with people who log in: `--login` starts the development issuer beside it, the book knows one of each role,
and nobody is a keeper who shows nothing."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
from logging_in import Person

from pledgewatch_sim.clock import SimulationClock
from pledgewatch_sim.demo import files
from pledgewatch_sim.demo.people import PEOPLE, Keeper
from pledgewatch_sim.demo.story import CORAL

PATIENCE_S = 60.0
PORTS = files.Ports(1, 2, 3, 4, 5)


def logged_in(console: str, name: str) -> Person:
    """Somebody who has gone the whole way at a console."""
    person = Person(cast("Any", SimpleNamespace(url=console)))
    answer = person.log_in(name)
    assert answer.status_code == 303, answer.text
    return person


def until(person: Person, path: str) -> Any:
    """What somebody is told, once it is not nothing."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := person.get(path).json()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found


def test_people_log_in_at_the_demos_console_and_each_sees_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    command = [sys.executable, "-m", "pledgewatch_sim", "demo", "--headless", "--login", "--seconds", "120"]
    running = subprocess.Popen(
        [*command, "--folder", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert running.stdout is not None
    told = []
    for line in running.stdout:
        told.append(line)
        if PEOPLE[-1].name in line:
            break
    console, issuer = re.findall(r"(?:console and API:|by the issuer) (http://127\.0\.0\.1:\d+)", "".join(told))
    assert [one.name in "".join(told) for one in PEOPLE] == [True] * len(PEOPLE)
    refused = httpx2.get(f"{console}/facilities", timeout=60)
    assert (refused.status_code, refused.json()["login"]) == (401, "/login")
    assert httpx2.get(f"{issuer}/.well-known/openid-configuration", timeout=60).json()["issuer"] == issuer
    secret = folder / "keeper.token"
    assert secret.stat().st_mode & 0o077 == 0, "its owner alone may read it"
    with logged_in(console, "anna") as anna:
        lines = {one["id"] for one in until(anna, "/facilities")}
    coral = {CORAL.line}
    own = {"kim": lines, "anna": lines, "emil": coral, "ines": coral, "axel": coral}
    for one in PEOPLE:
        with logged_in(console, one.id) as person:
            viewer = person.get("/viewer").json()
            assert (viewer["user"], viewer["party"], viewer["role"]) == (one.id, one.party, one.role)
            seen = {each["id"] for each in person.get("/facilities").json()}
            assert seen == own.get(one.id, set()), one.id
    for _ in range(2):
        running.send_signal(signal.SIGINT)
        time.sleep(0.3)
    rest, _ = running.communicate(timeout=60)
    assert running.returncode == 0, rest
    assert secret.read_text(encoding="ascii").strip() not in "".join(told) + rest


@pytest.mark.parametrize("is_asked", [True, False])
def test_nothing_of_it_is_there_unless_it_is_asked_for(tmp_path: Path, *, is_asked: bool) -> None:
    token = tmp_path / "keeper.token" if is_asked else None
    clock = SimulationClock(0, 1.0, 0, 1_000)
    cloud = files.cloud(tmp_path, PORTS, clock, {}, token)
    assert [word in cloud for word in ("[login]", "token_file")] == [is_asked, is_asked]
    assert ("token_file" in files.bank(tmp_path, PORTS, clock, 1, token)) == is_asked


def test_the_demo_shows_its_token_to_its_own_cloud_alone(tmp_path: Path) -> None:
    token = tmp_path / "keeper.token"
    token.write_text("secret\n", encoding="ascii")
    keeper = Keeper("http://127.0.0.1:2", token)

    def shown(url: str) -> str | None:
        return next(keeper.auth_flow(httpx2.Request("GET", url))).headers.get("authorization")

    assert shown("http://127.0.0.1:2/facilities") == "Bearer secret"
    assert [shown(url) for url in ("http://127.0.0.1:3/ledger", "http://localhost:2/", "http://example.com/")] == [
        None,
        None,
        None,
    ]
