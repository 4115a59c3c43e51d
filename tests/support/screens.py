"""What stands on a terminal after a program has written to it."""

import re


class Screen:
    """A terminal of a few lines, as far as the table goes: what has scrolled off its top is not reached any more."""

    def __init__(self, height: int, text: str) -> None:
        self.gone: list[str] = []
        self._height = height
        self._lines, self._at = [""], 0
        for part in re.findall(r"\x1b\[\d*[AKJ]|\r|\n|[^\x1b\r\n]+", text):
            self._take(part)

    @property
    def shown(self) -> list[str]:
        """Its lines, without that of the cursor at the end."""
        return self._lines[:-1]

    def _take(self, part: str) -> None:
        if part == "\n":
            self._at += 1
            if self._at == len(self._lines):
                self._lines.append("")
            if self._at == self._height:
                self.gone.append(self._lines.pop(0))
                self._at -= 1
        elif part.endswith("A") and part[0] == "\x1b":
            self._at = max(0, self._at - int(part[2:-1]))
        elif part == "\x1b[K":
            self._lines[self._at] = ""
        elif part == "\x1b[J":
            del self._lines[self._at + 1 :]
            self._lines[self._at] = ""
        elif part != "\r":
            self._lines[self._at] += part
