"""`scripts/dashboards`: write what is made of the Python here. `scripts/check-dashboards` runs every query."""

import argparse
import sys
from collections.abc import Sequence

from pledgewatch_dashboards import check, made


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 where a query fails, 2 where nothing could be asked."""
    parser = argparse.ArgumentParser(prog="dashboards", description=__doc__)
    parser.add_argument("act", choices=("write", "check"))
    if parser.parse_args(arguments).act == "check":
        return check.run()
    for name, text in made.files().items():
        path = made.ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
