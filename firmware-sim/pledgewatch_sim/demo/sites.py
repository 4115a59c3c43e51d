"""The demo's two warehouses: the simulated building and the real gateway that measures it, each a process.

A gateway stamps by its own clock, so gateways start when the story's twelve days are over and it is now for everybody.
The buildings are there before: their past is told at once, and what they leave for book and gateway is read then.
"""

import asyncio
import contextlib
import json
import secrets
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import httpx2

from pledgewatch_sim.demo.files import broker, quoted
from pledgewatch_sim.demo.story import BANK, DAY_MS, OPERATOR, iso
from pledgewatch_sim.programs import Program, output_of
from pledgewatch_sim.warehouse.layout import DEPOSITOR, SOFA, WAREHOUSE, zones_of

PRICE_MINOR = 20_011
DAYS = 2
RECEIPT_DAYS = 90
_SPEAKS_EVERY_S = 2.0
_LEFT_PATIENCE_S = 60.0


class Load(NamedTuple):
    """Goods under one seal, as the stock system has them."""

    seal: str
    bin: str
    pieces: int


class Site:
    """One warehouse. `lan_port`: the broker that its devices speak at; of two only one can, for they have equal names
    there, so the other is heard by its wires alone."""

    def __init__(self, name: str, seed: int, folder: Path, lan_port: int | None) -> None:
        self.name = name
        self.receipt = f"{name}:0001"
        self.line = f"sofa-line-{name}"
        self.lot = f"sofas-{name}"
        self.source = f"wms-{name}"
        self.secret_file = folder / f"{self.source}.secret"
        self.gateway_file = folder / f"gateway-{name}.toml"
        self.loads: list[Load] = []
        hall = zones_of(name)[2]
        self.hall = hall.asset
        own = folder / f"warehouse-{name}"
        story = ["--seed", str(seed), "--days", str(DAYS), "--past-days", str(DAYS), "--sales", "dice"]
        lan = [] if lan_port is None else ["--broker", str(lan_port)]
        options = ["warehouse", "--folder", str(own), "--name", name, *story, "--every", str(_SPEAKS_EVERY_S), *lan]
        self.building = Program(f"warehouse-{name}", "pledgewatch_sim", options, folder)
        self.gateway = Program(
            f"gateway-{name}", "pledgewatch_gateway", ["run", "--config", str(self.gateway_file)], folder
        )
        self._folder = folder
        self._addresses: dict[str, Any] = {}

    @property
    def pieces(self) -> int:
        """All sofas that stand there under a seal."""
        return sum(one.pieces for one in self.loads)

    @property
    def bins(self) -> dict[str, int]:
        """These sofas by their bin."""
        found = Counter[str]()
        for one in self.loads:
            found[one.bin] += one.pieces
        return dict(found)

    @property
    def worth_minor(self) -> int:
        """What they are worth."""
        return self.pieces * PRICE_MINOR

    def make_secret(self) -> None:
        """What its gateway hands reports of stock in with, for cloud and gateway."""
        self.secret_file.touch(mode=0o600)
        self.secret_file.write_text(f"whsec_{b64encode(secrets.token_bytes(24)).decode()}\n", encoding="ascii")

    async def read_what_is_there(self, http: httpx2.AsyncClient, mqtt_port: int, api_port: int) -> None:
        """Wait until the building says where it is, write the gateway's file, and see which loads there are."""
        said = self._folder / f"{self.building.name}.log"
        async with asyncio.timeout(_LEFT_PATIENCE_S):
            while not self._addresses:
                with contextlib.suppress(FileNotFoundError, StopIteration):
                    text = await asyncio.to_thread(said.read_text, encoding="utf-8")
                    self._addresses = json.loads(next(one for one in text.splitlines(keepends=True) if one[-1] == "\n"))
                await asyncio.sleep(0.1)
        part = await asyncio.to_thread(Path(self._addresses["gateway_part"]).read_text, encoding="utf-8")
        text = "\n".join([self._owner(mqtt_port), self._documents(api_port), part])
        await asyncio.to_thread(self.gateway_file.write_text, text, encoding="utf-8")
        answer = await http.get(f"{self._addresses['wms']}/movements")
        rows = [one for one in answer.json()["movements"] if one.get("lot")]
        gone = {one["lot"] for one in rows if one["kind"] == "shipped"}
        self.loads = sorted(
            Load(one["lot"], one["bin"], int(one["quantity"])) for one in rows if one["lot"] not in gone
        )

    async def said_by_gateway(self, *command: str) -> list[dict[str, Any]]:
        """What the gateway's own program prints, a line for each zone."""
        said = await output_of("pledgewatch_gateway", *command, "--config", str(self.gateway_file))
        return [json.loads(line) for line in said.splitlines()]

    async def book_part(self) -> dict[str, Any]:
        """What the book must know of it: its zones by their keys, what watches them, what is lent on the sofas."""
        book: dict[str, Any] = json.loads(
            await asyncio.to_thread(Path(self._addresses["book_part"]).read_text, encoding="utf-8")
        )
        book["stock_sources"][0]["id"] = self.source
        return book | {
            "assets": [{"id": zone.asset, "kind": "warehouse"} for zone in zones_of(self.name)],
            "installations": [
                {name: one[name] for name in ("device", "operator", "asset", "public_key", "gateway")}
                for one in await self.said_by_gateway("identity")
            ],
            "prices": [{"sku": SOFA, "unit_price_minor": PRICE_MINOR, "currency": "USD"}],
            "policies": [{"id": "on-receipt", "advance_bp": {"warehouse": 5_000}, "receipt": 1}],
            "facilities": [
                {"id": self.line, "lender": BANK, "borrower": DEPOSITOR, "currency": "USD", "policy": "on-receipt"}
            ],
            "lots": [
                {
                    "id": self.lot,
                    "asset": self.hall,
                    "facility": self.line,
                    "sku": SOFA,
                    "quantity": self.pieces,
                    "receipt": {"id": self.receipt},
                    "warehouse": self.name,
                }
            ],
        }

    def stated(self, now_ms: int) -> dict[str, Any]:
        """What a receipt on all loads says."""
        midnight_ms = now_ms // DAY_MS * DAY_MS
        goods = [
            {"sku": SOFA, "quantity_milli": one.pieces * 1_000, "unit": "EA", "bin": one.bin, "seal": one.seal}
            for one in self.loads
        ]
        return {
            "depositor": DEPOSITOR,
            "goods": goods,
            "received": {"from": iso(midnight_ms - (DAYS + 1) * DAY_MS), "until": iso(midnight_ms)},
            "until": iso(now_ms + RECEIPT_DAYS * DAY_MS),
        }

    async def in_the_stock_book(self, http: httpx2.AsyncClient, url: str) -> dict[str, int]:
        """The sofas that the cloud has heard of from the stock system, by their bin."""
        goods = (await http.get(f"{url}/stock", params={"sku": SOFA, "warehouse": self.name})).json()["goods"]
        return {one["bin"]: one["on_hand_milli"] // 1_000 for one in goods if one["on_hand_milli"]}

    def _owner(self, mqtt_port: int) -> str:
        return f"""
[gateway]
operator = "{OPERATOR}"
name = "site-{self.name}"
state_folder = {quoted(self._folder / f"gateway-{self.name}")}
{broker(mqtt_port)}[uplink]
resend_after_s = 3.0
[checkpoint]
every_readings = 20
every_s = 5.0
"""

    def _documents(self, api_port: int) -> str:
        """How its gateway asks the stock system (docs/WAREHOUSE_SIM.md)."""
        names = ("id", "kind", "at", "owner", "sku", "bin", "unit", "quantity", "lot", "cancels")
        fields = "\n".join(f'{one} = "{one}"' for one in names)
        return f"""
[documents]
cloud = "http://127.0.0.1:{api_port}"
[[documents.rest]]
source = "{self.source}"
secret_file = {quoted(self.secret_file)}
url = "{self._addresses["wms"]}/movements"
every_s = 1.0
[documents.rest.paging]
cursor = "after"
next_cursor = "next"
[documents.rest.answer]
records = "movements"
[documents.rest.answer.fields]
{fields}
"""


def sites(folder: Path, lan_port: int) -> tuple[Site, Site]:
    """Where a load is stolen, and where a receipt is pledged twice."""
    return Site(WAREHOUSE, 11, folder, lan_port), Site("rtm-1", 12, folder, None)
