"""Entity tags: the same answer has the same tag, another has another, and who has it is told so in a line."""

from pathlib import Path

import pytest
from api_cloud import ApiCloud, assert_problem, shown
from builders import temperature
from seeing import USERS, Seeing

TAGGED = ("/assets", "/facilities", "/alerts", "/devices", "/book", "/events", "/status", "/healthz")


@pytest.mark.parametrize("path", TAGGED)
def test_who_has_an_answer_is_told_so_and_nothing_else(cloud: ApiCloud, path: str) -> None:
    first = cloud.client.get(path)
    tag = first.headers["etag"]
    assert tag.startswith('"')
    for known in (tag, f'"other", W/{tag}', "*"):
        again = cloud.client.get(path, headers={"if-none-match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-type" not in again.headers
        assert again.headers["cache-control"] == "private, no-cache"
        assert again.headers["x-content-type-options"] == "nosniff"
    for unknown in ('"other"', "", tag.strip('"')):
        again = cloud.client.get(path, headers={"if-none-match": unknown})
        assert (again.status_code, again.content) == (200, first.content)


def test_what_says_something_else_has_another_tag(cloud: ApiCloud) -> None:
    path = "/assets"
    tag = cloud.client.get(path).headers["etag"]
    cloud.measure(30, temperature(9_200))
    cloud.measure(31, temperature(2_000))
    answer = cloud.client.get(f"{path}/{cloud.get(path)['features'][0]['id']}", headers={"if-none-match": tag})
    assert answer.status_code == 200
    assert answer.headers["etag"] != tag
    changed = cloud.client.get("/devices").headers["etag"]
    cloud.measure(32, temperature(2_000))
    answer = cloud.client.get("/devices", headers={"if-none-match": changed})
    assert answer.status_code == 200
    assert answer.headers["etag"] != changed


def test_every_answer_says_what_it_depends_on_and_only_whole_ones_have_a_tag(cloud: ApiCloud) -> None:
    for path in ("/assets", "/metrics", "/assets/ghost"):
        answer = cloud.client.get(path)
        assert {one.strip().lower() for one in answer.headers["vary"].split(",")} >= {"authorization", "accept"}
        assert ("etag" in answer.headers) == (path == "/assets")
    assert_problem(cloud.client.get("/assets/ghost", headers={"if-none-match": "*"}), 404)
    assert "etag" not in cloud.client.post("/book/amendments", json={}).headers


def test_a_tag_opens_nothing_and_an_answer_that_is_known_is_noted_as_such(tmp_path: Path) -> None:
    seeing = Seeing(tmp_path)
    tag = seeing.client.get("/book").headers["etag"]
    assert_problem(seeing.client.get("/book", headers={"authorization": "", "if-none-match": tag}), 401)
    noted: list[int] = []
    service = seeing.client.app.state.service
    service.audit.note = lambda *row: noted.append(row[-1])
    key = shown(USERS["lender-two"].key)
    own = seeing.client.get("/facilities", headers=key)
    assert own.headers["etag"] != seeing.client.get("/facilities").headers["etag"]
    seeing.client.get("/facilities", headers=key | {"if-none-match": own.headers["etag"]})
    assert noted == [200, 200, 304]
    seeing.close()
