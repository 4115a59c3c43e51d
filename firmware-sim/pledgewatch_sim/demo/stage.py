"""What the console's banner asks: what has been told so far, and what one may break. Only the demo has it.

    GET /told                   {"told": [...], "of": 10, "pokes": [...], "poked": null, "ended": null}
    POST /pokes/<name>          break something now

The console of the demo's cloud names this address to its page (`[demo] stage`), and no other page may use it: what
another origin asks is refused. `told` are the story's beats that have happened, each found in the journal and in what
the bank has booked, with its figures (`beats.py`); nothing is told that did not happen. Every text is in both of the
console's languages, `{"en": …, "zh": …}`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from fastapi import FastAPI, HTTPException, Request, Response

from pledgewatch_sim.demo.beats import Told
from pledgewatch_sim.demo.words import Words


class Poke(NamedTuple):
    """Something that one may break: what it says on its button, and what is done."""

    words: Words
    act: Callable[[], Awaitable[Words]]


class Stage:
    """What is told, and who breaks what."""

    def __init__(self, beats: int, pokes: Mapping[str, Poke]) -> None:
        self.told: list[Told] = []
        self.poked: list[Words] = []
        self.ended: Words | None = None
        self._beats = beats
        self._pokes = pokes

    def application(self, console: str) -> FastAPI:
        """The application, for the page at the origin `console`."""
        app = FastAPI(title="The demo's stage", openapi_url=None)

        @app.get("/told")
        async def told(request: Request, response: Response) -> dict[str, Any]:
            _admit(request, response, console)
            return {
                "told": [one.as_json() for one in self.told],
                "of": self._beats,
                "pokes": [{"name": name, "words": one.words.as_json()} for name, one in self._pokes.items()],
                "poked": self.poked[-1].as_json() if self.poked else None,
                "ended": self.ended.as_json() if self.ended else None,
            }

        @app.post("/pokes/{name}")
        async def poke(request: Request, response: Response, name: str) -> dict[str, Any]:
            _admit(request, response, console)
            if name not in self._pokes:
                raise HTTPException(404, f"there is no poke {name!r}; there are {', '.join(self._pokes)}")
            self.poked.append(await self._pokes[name].act())
            return {"poked": self.poked[-1].as_json()}

        return app


def _admit(request: Request, response: Response, console: str) -> None:
    """Raise HTTPException for a page that is not the demo's console. A program has no origin; it may ask."""
    origin = request.headers.get("origin")
    if origin not in {None, console}:
        raise HTTPException(403, f"only {console} may use this")
    response.headers["access-control-allow-origin"] = console
    response.headers["cache-control"] = "no-store"
