"""HEAD of whatever GET answers: the same without a body, to the same people."""

import json
from collections.abc import Iterator

import pytest
from api_cloud import shown
from keeping import LINE
from receipting import FIRST, WAREHOUSE
from seeing import HALL_LOT, USERS, Seeing
from warehouses import BOX

from pledgewatch_cloud.api.heads import STREAMS

FILLED = {
    "asset": BOX,
    "channel": "temperature_mc",
    "facility": LINE,
    "lot": HALL_LOT,
    "receipt": FIRST,
    "number": "0",
    "purpose": "revocation",
    "warehouse": WAREHOUSE,
    "by": "vessel",
}
"""What there is; of every other name something is asked for that there is not."""
UNDESCRIBED = frozenset(
    {"/", "/docs", "/openapi.json", "/console/app.js", "/console/nothing", "/login", "/login/callback"}
)
"""What is read and is not in the API's description, which is where the rest is found."""
CHANGING = frozenset({"/metrics", "/status"})
"""Whose answer is another one each time."""


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seeing]:
    made = Seeing(tmp_path_factory.mktemp("seeing"))
    made.lend_on_sea(LINE)
    made.read()
    yield made
    made.close()


def paths(seeing: Seeing) -> list[str]:
    """Every path that is read, with names in its places."""
    described = seeing.get("keeper-kim", "/openapi.json")["paths"].items()
    found = {path for path, methods in described if "get" in methods} | UNDESCRIBED
    for name, value in FILLED.items():
        found = {one.replace(f"{{{name}}}", value) for one in found}
    return sorted(one.replace("{", "").replace("}", "") for one in found - STREAMS)


@pytest.mark.parametrize("user", ["keeper-kim", "lender-one", "auditor-two", ""])
def test_every_route_that_is_read_answers_head_as_get(seeing: Seeing, user: str) -> None:
    who = shown(USERS[user].key) if user else {}
    every, good = paths(seeing), 0
    assert len(every) > 60
    for path in every:
        get, head = (seeing.client.request(method, path, headers=who) for method in ("GET", "HEAD"))
        assert (head.status_code, head.content) == (get.status_code, b""), path
        if path not in CHANGING:
            assert dict(head.headers) == dict(get.headers), path
        good += get.status_code == 200
    assert good > (20 if user else 5), "else it would show nothing"


def test_what_is_known_already_is_told_of_by_head_too(seeing: Seeing) -> None:
    key = shown(USERS["lender-one"].key)
    tag = seeing.client.get("/lots", headers=key).headers["etag"]
    assert seeing.client.request("HEAD", "/lots", headers={**key, "if-none-match": tag}).status_code == 304


def test_a_stream_and_what_is_only_written_have_no_head(seeing: Seeing) -> None:
    key = shown(USERS["keeper-kim"].key)
    for path, allowed in (("/live", "GET"), ("/stock/reports", "POST")):
        answer = seeing.client.request("HEAD", path, headers=key)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    assert seeing.client.request("PUT", "/lots", headers=key).headers["allow"] == "GET, HEAD"


async def test_the_audit_has_what_was_asked(seeing: Seeing) -> None:
    key = shown(USERS["lender-two"].key)
    seeing.client.request("HEAD", "/fences", headers=key)
    await seeing.client.app.state.service.audit.commit()
    noted = json.loads(seeing.client.get("/audit", headers=shown(USERS["keeper-kim"].key)).content)
    assert "HEAD" in {one["method"] for one in noted["rows"] if one["user"] == "lender-two"}
