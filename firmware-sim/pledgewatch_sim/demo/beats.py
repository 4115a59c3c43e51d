"""The beats of the story, each a question to the journal and to the bank: has it happened, and with which figures?

A beat is asked again and again while the story runs, and is told on the banner when its figures are what they should
be. At the end all are asked once more, of the events as the journal then has them, and the demo fails where one has
not happened: what is expected is worked out here, by the rules in docs/BORROWING_BASE.md, and is never read from the
cloud's own answer. Figures are integers in minor units where they are money.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

from pledgewatch_sim.demo.parties import Refusal
from pledgewatch_sim.demo.sites import PRICE_MINOR, Site
from pledgewatch_sim.demo.story import (
    BANK,
    CONTAINERS,
    CORAL,
    HAZEL,
    JADE,
    LOSS_BP,
    ONYX,
    OUTSTANDING_BP,
    PEARL,
    RELEASE_SHARE,
    milestone_of,
)
from pledgewatch_sim.demo.words import Words
from pledgewatch_sim.voyage import PORTS, distance_m

ADVANCE_BP, CALL_BP, CLEAR_BP = 5_000, 6_000, 250  # what `inventory_finance` says (docs/BOOK.md)
WHOLE_BP = 10_000
MOVED_M = 30_000
_SILENCES = frozenset({"source_overdue", "source_fell_silent"})

Event = Mapping[str, Any]


class Figure(NamedTuple):
    """One figure of a beat, as it should be and as it was found."""

    name: str
    expected: int | str
    found: int | str

    @property
    def holds(self) -> bool:
        """Whether they are the same."""
        return self.expected == self.found


class Told(NamedTuple):
    """A beat that may be told: what happened, why, where to look, and by which figures. `event`: the id in the journal
    of what it rests on, empty where it is that nothing was said."""

    beat: str
    head: Words
    why: Words
    link: str
    figures: tuple[Figure, ...]
    event: str = ""
    at_ms: int = 0

    @property
    def has_happened(self) -> bool:
        """Whether every figure is as it should be."""
        return all(one.holds for one in self.figures)

    def as_json(self) -> dict[str, Any]:
        """For the banner and the report."""
        figures = [one._asdict() | {"holds": one.holds} for one in self.figures]
        words = {"head": self.head.as_json(), "why": self.why.as_json()}
        return {**self._asdict(), **words, "figures": figures, "has_happened": self.has_happened}


class Scene(Protocol):
    """What can be asked: all events so far, in order; the cloud's API; the bank's ledger; the act that was refused."""

    @property
    def events(self) -> Sequence[Event]: ...
    @property
    def story_ms(self) -> tuple[int, int]: ...
    @property
    def refusal(self) -> Refusal | None: ...

    async def cloud(self, path: str) -> Any:
        """What the API answers."""
        ...

    async def core(self, path: str) -> Any:
        """What the bank answers."""
        ...


Beat = Callable[[Scene], Awaitable[Told | None]]
"""None: it has not begun."""


def beats(stolen_from: Site, pledged_twice: Site) -> dict[str, Beat]:
    """Every beat by its name, in the order of the story."""
    return {
        "fleet": _fleet,
        "breach": _breach,
        "cover": _cover,
        "dark": _dark,
        "spoof": _spoof,
        "retraction": _retraction,
        "drawdown": _drawdown,
        "double-pledge": lambda scene: _double_pledge(scene, pledged_twice),
        "theft": lambda scene: _theft(scene, stolen_from),
        "silences": _silences,
    }


async def _fleet(scene: Scene) -> Told | None:
    """All containers are seen to have left their port."""
    features = {one["id"]: one for one in (await scene.cloud("/assets"))["features"]}
    moved = 0
    for one in CONTAINERS:
        geometry = features.get(one.name, {}).get("geometry")
        port = PORTS[one.origin]
        moved += geometry is not None and distance_m(geometry["coordinates"], (port.longitude, port.latitude)) > MOVED_M
    if not moved:
        return None
    figures = (Figure("containers seen away from their port", len(CONTAINERS), moved),)
    head = Words(f"{moved} containers are at sea", f"{moved} 个集装箱已在海上")
    why = Words(
        "Each numbers and signs the places and temperatures that it reads, and keeps them until they are on disk.",
        "每个集装箱对读取的位置和温度编号并签名，在数据落盘之前一直保留。",
    )
    return Told("fleet", head, why, "#/", figures)


async def _breach(scene: Scene) -> Told | None:
    """A cold chain that broke costs goods exactly what their loss curve says, and calls margin for exactly what is
    missing then."""
    breach = _last(scene.events, "condition_breached", CORAL.name)
    calls = [one for one in scene.events if one["type"] == "margin_called" and one["subject"] == CORAL.line]
    if breach is None or not calls:
        return None
    lines = await scene.cloud(f"/facilities/{CORAL.line}/lines")
    lost = lines[0]["ineligible"].get("condition_loss", 0)
    after = after_the_breach()
    figures = (
        Figure("haircut of the goods", after.worth_minor - after.eligible_minor, lost),
        Figure("margin called", after.call_minor, calls[-1]["facts"]["call_minor"]),
    )
    called = _money(figures[1].found)
    head = Words(
        f"{CORAL.name} was too warm: its goods lose {_money(lost)}, and {called} of margin are called",
        f"{CORAL.name} 温度过高：货物减值 {_money(lost)}，追加保证金 {called}",
    )
    warmth = f"{breach['facts']['value'] / 1_000:.1f} °C"
    why = Words(
        f"{warmth} for longer than the goods bear. Half a day costs a quarter of {_money(after.worth_minor)}; "
        f"{_money(after.lent_minor)} were lent, and half of what is left may be.",
        f"{warmth} 的时间超过货物所能承受的限度。半天即损失 {_money(after.worth_minor)} 的四分之一；"
        f"已贷出 {_money(after.lent_minor)}，而余值只能贷出一半。",
    )
    return _of(calls[-1], "breach", head, why, f"#/facilities/{CORAL.line}", figures)


class AfterTheBreach(NamedTuple):
    """Coral's goods and loan once half a day outside has cost what it costs."""

    worth_minor: int
    eligible_minor: int
    base_minor: int
    lent_minor: int
    call_minor: int


def after_the_breach() -> AfterTheBreach:
    """Worked out by the rules of docs/BORROWING_BASE.md; docs/DEMO.md has it by hand."""
    worth, lent = CORAL.worth_minor, CORAL.worth_minor * OUTSTANDING_BP[CORAL.line] // WHOLE_BP
    eligible = worth * (WHOLE_BP - LOSS_BP) // WHOLE_BP
    base = eligible * ADVANCE_BP // WHOLE_BP
    call = lent - min(base * WHOLE_BP // (WHOLE_BP + CLEAR_BP), eligible * (CALL_BP - CLEAR_BP - 1) // WHOLE_BP)
    return AfterTheBreach(worth, eligible, base, lent, call)


async def _cover(scene: Scene) -> Told | None:
    """What was called is paid, and that very amount restores cover, at both ends."""
    restored = _last(scene.events, "cover_restored", CORAL.line)
    if restored is None:
        return None
    after = after_the_breach()
    ledger = (await scene.core("/ledger"))["facilities"][CORAL.line]
    known = next(one for one in (await scene.cloud("/book"))["facilities"] if one["id"] == CORAL.line)
    cover = (await scene.cloud(f"/facilities/{CORAL.line}"))["cover"]
    headroom = after.base_minor - (after.lent_minor - after.call_minor)
    figures = (
        Figure("repaid at the bank", after.call_minor, _moved(ledger, "repayment")),
        Figure("repaid in pledgewatch's book", after.call_minor, _moved(known, "repayment")),
        Figure("headroom", headroom, restored["facts"]["headroom_minor"]),
        Figure("cover", "clear", cover),
    )
    paid = _money(after.call_minor)
    head = Words(
        f"The exporter repays {paid}: {CORAL.line} is covered again", f"出口商偿还 {paid}：{CORAL.line} 恢复足额覆盖"
    )
    why = Words(
        f"It is what was called, and no more. The bank books it and tells of it; {_money(headroom)} of headroom "
        "are left.",
        f"正是追加保证金的数额，不多不少。银行入账并通知本系统；剩余可用余额 {_money(headroom)}。",
    )
    return _of(restored, "cover", head, why, f"#/facilities/{CORAL.line}", figures)


async def _dark(scene: Scene) -> Told | None:
    """Who was not heard of for longer than is borne, where the plan says so, alarms nobody."""
    since_ms, until_ms = scene.story_ms
    assert ONYX.dark is not None
    length_ms = until_ms - since_ms
    path = f"/assets/{ONYX.name}/series/latitude_e7?from_ms=0&to_ms={until_ms}&limit=10000"
    moments = [one[0] for one in (await scene.cloud(path))["points"]]
    gap_ms, gap_from_ms = max(((later - one, one) for one, later in pairwise(moments)), default=(0, 0))
    if gap_ms <= ONYX.silent_after * length_ms:
        return None
    planned = tuple(since_ms + share * length_ms for share in ONYX.dark)
    said = sum(one["type"] in _SILENCES and one["subject"] == ONYX.name for one in scene.events)
    figures = (
        Figure("alarms of silence", 0, said),
        Figure("dark within the planned leg", 1, int(planned[0] <= gap_from_ms and gap_from_ms + gap_ms <= planned[1])),
    )
    days = f"{gap_ms / 86_400_000:.1f}"
    head = Words(
        f"{ONYX.name} was not heard of for {days} days, and nobody was alarmed",
        f"{ONYX.name} 有 {days} 天没有消息，而没有人收到警报",
    )
    why = Words(
        "Its voyage plan has the ocean as dark. Elsewhere such a silence is an alert: it is judged against the plan.",
        "其航程计划载明大洋航段静默。在别处这样的静默就是警报：静默须对照计划判断。",
    )
    return Told("dark", head, why, f"#/assets/{ONYX.name}", figures, at_ms=gap_from_ms + gap_ms)


async def _spoof(scene: Scene) -> Told | None:
    """A place that cannot be is no evidence, and pays nothing."""
    doubts = [
        one
        for one in scene.events
        if one["type"] == "evidence_doubted"
        and one["subject"] == PEARL.name
        and one["facts"]["doubt"] == "impossible_speed"
    ]
    if not doubts:
        return None
    entered = sum(
        one["type"] == "fence_entered" and one["subject"] == PEARL.name and one["facts"]["fence"] == PEARL.destination
        for one in scene.events
    )
    milestone = await scene.cloud(f"/milestones/{milestone_of(PEARL)}")
    releases = (await scene.core("/ledger"))["facilities"][PEARL.line]["releases"]
    figures = (
        Figure("milestone", "pending", milestone["state"]),
        Figure("gate-ins", 0, entered),
        Figure("releases at the bank", 0, len(releases)),
    )
    port = PORTS[PEARL.destination].name
    head = Words(
        f"{PEARL.name} claims to be in {port}, and nothing is released",
        f"{PEARL.name} 自称已在 {port}，但未放出任何款项",
    )
    why = Words(
        "No ship comes so far so fast: the place is doubted (impossible_speed), is no gate-in, and the milestone "
        "waits.",
        "没有船能如此快地到达：该位置存疑（impossible_speed），不算进闸，里程碑继续等待。",
    )
    return _of(doubts[0], "spoof", head, why, f"#/milestones/{milestone_of(PEARL)}", figures)


async def _retraction(scene: Scene) -> Told | None:
    """What was said for want of readings is taken back when they come."""
    back = [
        one
        for one in scene.events
        if one["type"] == "event_retracted"
        and one["subject"] == HAZEL.name
        and one["facts"]["retracted_type"] == "source_fell_silent"
    ]
    if not back:
        return None
    said = {one["id"]: one for one in scene.events if one["type"] == "source_fell_silent"}
    figures = (
        Figure(
            "what was taken back", "source_fell_silent", said.get(back[-1]["facts"]["retracted"], {"type": ""})["type"]
        ),
        Figure("because of", "late_reading", back[-1].get("because", "")),
        Figure("silences that stand", 0, _standing_silences(scene.events)),
    )
    head = Words(f"{HAZEL.name} had fallen silent: that is taken back", f"{HAZEL.name} 曾被判为失联：现予撤回")
    why = Words(
        "Its link was down, not its device. The backlog shows that it measured all the time, so what was said of it is "
        "retracted, its alert is withdrawn, and the journal keeps both.",
        "中断的是链路，不是设备。补传的数据表明它一直在测量，因此相关判断被撤回，警报被取消，而日志两者都保留。",
    )
    return _of(back[-1], "retraction", head, why, f"#/assets/{HAZEL.name}", figures)


async def _drawdown(scene: Scene) -> Told | None:
    """Goods that come in pay, exactly once, at both ends."""
    released = _last(scene.events, "milestone_released", JADE.line)
    gated_in = _last(scene.events, "fence_entered", JADE.name)
    if released is None or gated_in is None:
        return None
    due = JADE.worth_minor // RELEASE_SHARE
    ledger = (await scene.core("/ledger"))["facilities"][JADE.line]
    known = next(one for one in (await scene.cloud("/book"))["facilities"] if one["id"] == JADE.line)
    figures = (
        Figure("paid by the bank", due, _moved(ledger, "drawdown")),
        Figure("drawn in pledgewatch's book", due, _moved(known, "drawdown")),
        Figure("payments", 1, len(ledger["movements"])),
    )
    port = PORTS[JADE.destination].name
    head = Words(
        f"{JADE.name} is in {port}: the bank pays {_money(due)}", f"{JADE.name} 已到 {port}：银行付款 {_money(due)}"
    )
    why = Words(
        "A good fix shows that it has come in, and its goods were kept as agreed: the milestone is met, the bank is "
        "asked by a signed message, pays once and tells of it.",
        "可靠的定位表明它已进港，货物按约保管：里程碑达成，银行收到签名报文，只付款一次并予告知。",
    )
    return _of(released, "drawdown", head, why, f"#/milestones/{milestone_of(JADE)}", figures)


async def _double_pledge(scene: Scene, site: Site) -> Told | None:
    """A receipt that is pledged cannot be pledged to another."""
    refusal = scene.refusal
    if refusal is None:
        return None
    receipt = await scene.cloud(f"/receipts/{site.receipt.replace(':', '%3A')}")
    acts = (await scene.cloud(f"/receipts/{site.receipt.replace(':', '%3A')}/acts"))["acts"]
    pledges = [one for one in acts if one["act"] == "pledge"]
    figures = (
        Figure("answer", "refused", "refused" if refusal.status in {409, 422} else str(refusal.status)),
        Figure("pledges in the journal", 1, len(pledges)),
        Figure("who controls it", BANK, receipt["controller"]),
    )
    head = Words(
        f"{site.receipt} is pledged to {BANK}; pledging it to {refusal.to} too is refused",
        f"{site.receipt} 已质押给 {BANK}；再质押给 {refusal.to} 被拒绝",
    )
    why = Words(
        f"{refusal.by} signed both. The service's answer: {refusal.why}",
        f"两份文件均由 {refusal.by} 签名。第一份质押之后，该仓单由 {BANK} 控制；未经其放行，不能再质押给他人。",
    )
    return Told("double-pledge", head, why, f"#/receipts/{site.receipt}", figures, at_ms=0)


async def _theft(scene: Scene, site: Site) -> Told | None:
    """Goods that go through the gate without a release freeze their receipt, and nothing is lent on it."""
    left = next((one for one in scene.events if one["type"] == "goods_left"), None)
    if left is None:
        return None
    receipt = await scene.cloud(f"/receipts/{site.receipt.replace(':', '%3A')}")
    alerts = [one for one in await scene.cloud("/alerts?severity=critical") if one["rule"] == "goods-left"]
    base = (await scene.cloud(f"/facilities/{site.line}"))["base"]
    figures = (
        Figure("receipt", "frozen", receipt["state"]),
        Figure("critical alerts", 1, len(alerts)),
        Figure("ineligible for its receipt", site.pieces * PRICE_MINOR, base["ineligible"].get("receipt", 0)),
        Figure("base", 0, base["base_minor"]),
    )
    gate = left["facts"].get("gate", "")
    head = Words(
        f"A load of sofas left {site.name} without a release: {site.receipt} is frozen",
        f"一批沙发未经放行离开 {site.name}：{site.receipt} 已冻结",
    )
    why = Words(
        f"The reader at {gate} has seen its seal go out, and nobody had released it. Nothing is lent on the receipt "
        f"any more ({_money(site.worth_minor)}), and a critical alert is open.",
        f"{gate} 的读取器看到其封志离开，而无人放行。该仓单（{_money(site.worth_minor)}）"
        "不再可贷，并有一条严重警报未结。",
    )
    return _of(left, "theft", head, why, f"#/receipts/{site.receipt}", figures)


async def _silences(scene: Scene) -> Told | None:
    """At the end: of no container a silence stands in which the journal has a reading, and none was taken back for
    nothing."""
    if not any(one["type"] == "goods_left" for one in scene.events):
        return None
    names = {one.name for one in CONTAINERS}
    said = [one for one in scene.events if one["type"] in _SILENCES and one["subject"] in names]
    back = {one["facts"]["retracted"] for one in scene.events if one["type"] == "event_retracted"}
    untrue = groundless = 0
    for one in said:
        channel = one["facts"].get("channel", "latitude_e7")
        since_ms, until_ms = one["facts"]["last_ms"] + 1, one["at_ms"]
        path = f"/assets/{one['subject']}/series/{channel}?from_ms={since_ms}&to_ms={until_ms}&limit=10000"
        has_readings = bool((await scene.cloud(path))["points"])
        untrue += has_readings and one["id"] not in back
        groundless += not has_readings and one["id"] in back
    figures = (
        Figure("silences that stand though there are readings", 0, untrue),
        Figure("silences taken back though there are none", 0, groundless),
    )
    stand = sum(one["id"] not in back for one in said)
    head = Words(
        f"Every silence was true: {len(said)} said of {len(names)} containers, {len(said) - stand} taken back",
        f"每一次失联判断都属实：{len(names)} 个集装箱共判断 {len(said)} 次，撤回 {len(said) - stand} 次",
    )
    why = Words(
        f"Each is held against the readings that the journal has of that time: {stand} stand, with none in them; what "
        "was taken back had some. The leg that was dark by plan is no silence.",
        f"每一次都对照日志中该时段的读数：{stand} 次成立，其间确无读数；被撤回的其间有读数。计划内的静默航段不算失联。",
    )
    return Told("silences", head, why, "#/alerts", figures)


def _of(event: Event, beat: str, head: Words, why: Words, link: str, figures: tuple[Figure, ...]) -> Told:
    return Told(beat, head, why, link, figures, event["id"], event["at_ms"])


def _last(events: Sequence[Event], kind: str, subject: str) -> Event | None:
    return next((one for one in reversed(events) if one["type"] == kind and one["subject"] == subject), None)


def _standing_silences(events: Sequence[Event]) -> int:
    """How many silences of hazel nobody has taken back."""
    said = {one["id"] for one in events if one["type"] == "source_fell_silent" and one["subject"] == HAZEL.name}
    return len(said - {one["facts"]["retracted"] for one in events if one["type"] == "event_retracted"})


def _moved(facility: Mapping[str, Any], kind: str) -> int:
    return sum(one["amount_minor"] for one in facility.get("movements", []) if one["kind"] == kind)


def _money(minor: int | str) -> str:
    return f"{int(minor) / 100:,.2f} USD"
