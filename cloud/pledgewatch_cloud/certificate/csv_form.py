"""A certificate as one CSV file for programs: RFC 4180, UTF-8, every line with the same number of cells.

The first cell of a line names its section: `certificate`, `waterfall`, `lots` or `marks`. The first line of a section
names its columns. Amounts are decimal text without separators; names that a spreadsheet would work out are guarded.
"""

import csv
import io

from pledgewatch_cloud.certificate.model import (
    Certificate,
    facts_table,
    lots_table,
    marks_table,
    waterfall_table,
)
from pledgewatch_cloud.decide.money import Amount


def render(certificate: Certificate) -> bytes:
    """The file."""
    sections = {
        "certificate": facts_table(certificate),
        "waterfall": waterfall_table(certificate),
        "lots": lots_table(certificate),
        "marks": marks_table(certificate),
    }
    width = max(len(line) for table in sections.values() for line in table)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    for section, table in sections.items():
        for line in table:
            cells = [one.text() if isinstance(one, Amount) else one for one in line]
            writer.writerow([section, *cells, *[""] * (width - len(cells))])
    return text.getvalue().encode()
