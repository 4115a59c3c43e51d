"""docker-compose.yml and the Dockerfile, held against the compose specification's schema and three linters.

dclint (npm, scripts/compose_tools) brings the schema and judges by it and by rules of its own; compose-lint and
hadolint (Python packages of the extra `dev`) look at hardening and at the Dockerfile. The schema is also read by
another validator than dclint's. Where an engine is here, it is asked too. Each is named with what it said, or with why
it could not be run; PLEDGEWATCH_ALL_PACKAGES=1, as in CI, makes a fault of the latter, the engine apart.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import jsonschema
import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE, DOCKERFILE = ROOT / "docker-compose.yml", ROOT / "Dockerfile"
PINS = ROOT / "scripts" / "compose_tools"
NPM_PLACE = ROOT / ".venv" / "compose_tools"
NPM_PATIENCE_S = 300


class Finding(NamedTuple):
    """What came of one check. `is_well` None: it could not be run."""

    what: str
    is_well: bool | None
    text: str


def asked(what: str, *command: str) -> Finding:
    """Run a program over the files; what it says counts where it ends with another code than 0."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    said = (done.stdout + done.stderr).strip()
    return Finding(what, done.returncode == 0, said if done.returncode else "nothing against it")


def of_python(what: str, program: str, *arguments: str) -> Finding:
    """A linter that is a Python package."""
    path = Path(sys.executable).parent / program
    if not path.exists():
        return Finding(what, None, "is not installed: scripts/setup dev")
    return asked(what, str(path), *arguments)


def npm_tools() -> str:
    """Put what package-lock.json pins in place. Returns why that cannot be, or nothing."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return "npm is not here (Debian: npm)"
    NPM_PLACE.mkdir(parents=True, exist_ok=True)
    pins = {name: (PINS / name).read_bytes() for name in ("package.json", "package-lock.json")}
    if all((NPM_PLACE / name).exists() and (NPM_PLACE / name).read_bytes() == data for name, data in pins.items()):
        return ""
    (NPM_PLACE / "package.json").unlink(missing_ok=True)
    with_lock = NPM_PLACE / "package-lock.json"
    with_lock.write_bytes(pins["package-lock.json"])
    (NPM_PLACE / "package.json").write_bytes(pins["package.json"])
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=NPM_PLACE, timeout=NPM_PATIENCE_S
        )
    except subprocess.TimeoutExpired:
        with_lock.unlink()
        return "npm did not answer in time"
    if done.returncode:
        with_lock.unlink()  # so that it is tried again
        return f"npm cannot install it: {done.stderr.strip()[-300:]}"
    return ""


def by_schema() -> Finding:
    """The schema by Python's validator."""
    schema = json.loads((NPM_PLACE / "node_modules/dclint/schemas/compose.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(schema)
    document = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    faults = [f"{one.json_path}: {one.message}" for one in validator.iter_errors(document)]
    return Finding("compose schema (jsonschema)", not faults, "\n".join(faults) or "nothing against it")


def findings() -> list[Finding]:
    """All that can be asked here."""
    found = [
        of_python("hadolint", "hadolint", str(DOCKERFILE)),
        of_python("compose-lint", "compose-lint", str(COMPOSE)),
    ]
    missing = npm_tools()
    if missing:
        found += [Finding(what, None, missing) for what in ("compose schema (jsonschema)", "dclint")]
    else:
        found.append(by_schema())
        dclint = NPM_PLACE / "node_modules" / ".bin" / "dclint"
        found.append(asked("dclint", str(dclint), "--max-warnings", "0", str(COMPOSE)))
    return found


def by_engine() -> Finding:
    """What an engine makes of it, where there is one."""
    here = ["docker", "compose", "version"]
    if shutil.which("docker") is None or subprocess.run(here, capture_output=True, check=False).returncode:
        return Finding("docker compose config", None, "no compose is here; images were neither built nor started")
    return asked("docker compose config", "docker", "compose", "-f", str(COMPOSE), "config", "--quiet")


def main() -> int:
    """Print what each said; 1 where one is not content."""
    every = [*findings(), by_engine()]
    for one in every:
        word = {True: "well", False: "NOT WELL", None: "not run"}[one.is_well]
        print(f"{one.what}: {word}: {one.text}")
    must_all = os.environ.get("PLEDGEWATCH_ALL_PACKAGES") == "1"
    return int(
        any(one.is_well is False or (must_all and one.is_well is None) for one in every[:-1])
        or (every[-1].is_well is False)
    )


if __name__ == "__main__":
    sys.exit(main())
