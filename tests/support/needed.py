"""What a test needs beside this repository and is skipped without: captures and tables of others in ../shared/data, and
the programs of system packages. tests/conftest.py knows these skips by their words and can make failures of them.
"""

import shutil
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
NEEDS_DATA = "needs ../shared/data"
NEEDS_PACKAGE = "needs the system package"


def needs(name: str) -> pytest.MarkDecorator:
    """Skips a test where this file or folder of ../shared/data is not there."""
    return pytest.mark.skipif(not (DATA / name).exists(), reason=f"{NEEDS_DATA}/{name}")


def system_program(name: str) -> str:
    """Where the program of the system package of the same name is. Skips the running test where it is not."""
    found = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/sbin")
    if found is None:
        pytest.skip(f"{NEEDS_PACKAGE} {name}")
    return found
