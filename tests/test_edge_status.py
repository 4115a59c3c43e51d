"""What `status` says to people, and that programs are told what they always were."""

import json
from pathlib import Path
from typing import Any

import pytest
from edge_support import DEVICE, OPERATOR, new_spool, samples, true_word

from pledgewatch_edge.__main__ import main
from pledgewatch_edge.status_words import size, status_words

FRESH: dict[str, Any] = {
    "operator": OPERATOR, "device": DEVICE, "epoch": 0, "measured": 0, "head_sequence": 0, "spooled": 0, "undated": 0,
    "spooled_bytes": 0, "refused": 0, "thinned": 0, "broken": 0, "committed_contiguous": 0, "signed_sequence": 0,
    "oldest_spooled": None, "certificate_ends": None, "certificate_renewed_from": None, "wrong": [],
}  # fmt: skip
LONG: dict[str, Any] = FRESH | {
    "epoch": 2, "measured": 12_345, "head_sequence": 1_204, "spooled": 24, "undated": 1, "spooled_bytes": 123_456,
    "refused": 1, "thinned": 3_000, "broken": 40, "committed_contiguous": 1_180, "signed_sequence": 1_140,
    "oldest_spooled": 1_181,
    "certificate_ends": "2027-02-01T00:00:00Z", "certificate_renewed_from": "2027-01-01T00:00:00Z",
    "wrong": ["the broker refuses this device: revoked", "the certificate has ended; ask for a new claim"],
    "zone": "Cold room", "budget": {"bytes_today": 1_200, "is_spent": False}, "last": None,
}  # fmt: skip


def test_of_a_device_that_has_done_nothing_yet() -> None:
    assert status_words(FRESH) == [
        f"{DEVICE} of {OPERATOR}",
        "  measured      nothing yet",
        "  committed     nothing yet, none waits",
        "  signed        nothing yet",
        "  certificate   none",
        "  wrong         nothing that can be seen from here",
    ]


def test_of_a_device_with_a_history() -> None:
    assert status_words(LONG) == [
        f"{DEVICE} of {OPERATOR}",
        "  measured      12,345 readings, the newest is number 1,204 of epoch 2",
        "  committed     up to 1,180, 24 readings wait from 1,181 on (123 kB on the disk)",
        "  signed        up to 1,140",
        "  undated       1 reading without a number until the time is known",
        "  thinned       3,000 readings: old ones dropped for want of room, declared to the cloud",
        "  refused       1 reading: could not be kept",
        "  broken        40 readings: were not to be found in a broken spool",
        "  certificate   good until 2027-02-01T00:00:00Z, renewed from 2027-01-01T00:00:00Z on",
        "  zone          Cold room",
        "  budget        bytes today 1,200, is spent no",
        "  last          none",
        "  wrong         the broker refuses this device: revoked",
        "  wrong         the certificate has ended; ask for a new claim",
    ]


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1.0 kB"), (64_000_000, "64 MB"), (2.5e9, "2.5 GB")]
)
def test_sizes(count: float, said: str) -> None:
    assert size(count) == said


def test_words_for_people_and_json_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(
        f'[device]\noperator = "{OPERATOR}"\nname = "{DEVICE}"\nstate_folder = "state"\n'
        '[broker]\nhost = "127.0.0.1"\n[host]\n',
        encoding="utf-8",
    )
    with new_spool(tmp_path / "state") as spool:
        spool.append(samples(5))
        spool.forget(true_word(spool, 2))
    assert main(["status", "--config", str(file)]) == 0
    words = capsys.readouterr().out.splitlines()
    assert words[0] == f"{DEVICE} of {OPERATOR}"
    assert "  measured      5 readings, the newest is number 5 of epoch 1" in words
    assert any(line.startswith("  committed     up to 2, 3 readings wait from 3 on (") for line in words)
    assert main(["status", "--json", "--config", str(file)]) == 0
    [line] = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert (found["device"], found["measured"], found["committed_contiguous"], found["spooled"]) == (DEVICE, 5, 2, 3)
