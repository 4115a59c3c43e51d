"""The `[documents]` section of a gateway's configuration: where documents come from, and whom they go to."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pledgewatch_edge.config import DAY_S, require_within
from pledgewatch_gateway.documents import DOCUMENT_MAX_BYTES, AwayError
from pledgewatch_gateway.documents.credentials import key_in, token_in
from pledgewatch_gateway.documents.drop_folder import DropSettings
from pledgewatch_gateway.documents.rest_poll import RestSettings
from pledgewatch_gateway.documents.web import require_url
from pledgewatch_wire.settings import unreadable

SOURCES_MAX: Final = 100
SHARE_MIN_BYTES: Final = DOCUMENT_MAX_BYTES + 4_096
"""Room for one document, with what is said of it."""
FOLDER: Final = "stock.documents"
"""Below the gateway's folder; no device can be called so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentsSettings:
    """`cloud` is the address of the cloud's API. `folder` keeps what waits, at most `documents_max` and `bytes_max`, of
    which each source has an equal share: beyond it nothing more is taken of it, and it keeps what it has. What each
    source signs with is said of it, for the cloud knows each by a secret of its own."""

    cloud: str
    folder: Path | None = None
    documents_max: int = 10_000
    bytes_max: int = 1_000_000_000
    timeout_s: float = 300.0
    retry_max_s: float = 600.0
    ca_file: Path | None = None
    rest: tuple[RestSettings, ...] = ()
    drop: tuple[DropSettings, ...] = ()

    def __post_init__(self) -> None:
        require_url("cloud", self.cloud, "https://pledgewatch.example.org")
        if "?" in self.cloud:
            raise ValueError("cloud has a question in it; write the address of the API alone")
        require_within("documents_max", self.documents_max, 1, 100_000)
        require_within("bytes_max", self.bytes_max, 32 * 1024 * 1024, 10**12)
        require_within("timeout_s", self.timeout_s, 0.1, 3_600.0)
        require_within("retry_max_s", self.retry_max_s, 0.05, DAY_S)
        names = [one.title for one in self.rest] + [one.title for one in self.drop]
        if not names:
            raise ValueError("has no [[documents.rest]] and no [[documents.drop]]; say where documents come from")
        if len(names) > SOURCES_MAX:
            raise ValueError(f"names {len(names)} sources; a gateway has {SOURCES_MAX} at most, so set up another")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"has two sections called {twice[0]!r}; give each a name of its own")
        pairs = {(one.source, one.secret_file) for one in self.rest} | {
            (one.source, one.secret_file) for one in self.drop
        }
        if len(pairs) > len(self.secrets):
            raise ValueError("has sections of one source with different secret_files; a source signs with one")
        for key, value, each in (
            ("documents_max", self.documents_max, 1),
            ("bytes_max", self.bytes_max, SHARE_MIN_BYTES),
        ):
            if value < (needed := each * len(self.secrets)):
                sharing = f"leaves each of {len(self.secrets)} sources no room for a document"
                raise ValueError(f"{key} {value} {sharing}; {needed} at least")

    @property
    def secrets(self) -> Mapping[str, Path]:
        """The file of the secret that each source signs with."""
        return {one.source: one.secret_file for one in self.rest} | {one.source: one.secret_file for one in self.drop}


def faults_of(settings: DocumentsSettings) -> list[str]:
    """A sentence for each file or folder that is named and cannot be used. Asks no network."""
    found = unreadable({"[documents] ca_file": settings.ca_file})
    for number, rest in enumerate(settings.rest):
        place = f"[documents] rest[{number}]"
        found += unreadable({f"{place} ca_file": rest.ca_file})
        found += _useless(f"{place} secret_file", key_in, rest.secret_file)
        if rest.token_file is not None:
            found += _useless(f"{place} token_file", token_in, rest.token_file)
    for number, drop in enumerate(settings.drop):
        place = f"[documents] drop[{number}]"
        found += _useless(f"{place} secret_file", key_in, drop.secret_file)
        if not drop.folder.is_dir():
            found.append(f"{place} folder: {drop.folder} is no folder; make it")
        for other, before in enumerate(settings.drop[:number]):
            if _share_files(drop, before):
                found.append(
                    f"{place} takes files that [documents] drop[{other}] takes too; give each a folder or an ending of "
                    "its own"
                )
    return found


def _share_files(one: DropSettings, other: DropSettings) -> bool:
    """Whether a file may be both's. The folder may have several names."""
    endings = one.ending.lower(), other.ending.lower()
    is_one_ending = endings[0].endswith(endings[1]) or endings[1].endswith(endings[0])
    return is_one_ending and os.path.realpath(one.folder) == os.path.realpath(other.folder)


def _useless(place: str, read: Callable[[Path], object], path: Path) -> list[str]:
    try:
        read(path)
    except AwayError as error:
        return [f"{place}: {error}"]
    return []
