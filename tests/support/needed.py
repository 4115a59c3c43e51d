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


def system_program(*names: str) -> str:
    """Where the program of the system package of the same name is; of several that will do, the first that is there.
    Skips the running test where none is, for want of the first."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/bin:/usr/sbin")
        if found is not None:
            return found
    pytest.skip(f"{NEEDS_PACKAGE} {names[0]}")
