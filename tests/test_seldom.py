"""Lines that strangers bring about: one at once, and then one a minute with how many there were."""

import asyncio
import logging

import pytest

from pledgewatch_cloud import seldom
from pledgewatch_cloud.seldom import Seldom


async def test_the_first_is_said_at_once_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(seldom, "EVERY_S", 0.5)

    async def until(many: int) -> None:
        async with asyncio.timeout(60):
            while len(caplog.messages) < many:
                await asyncio.sleep(0.001)

    told = Seldom(logging.getLogger("one"))
    told.over("it was never so")
    for number in range(1000):
        told.say("%s asks", number)
    told.over("no more")
    told.over("no more")
    assert caplog.messages == ["0 asks", "no more"]
    await until(3)
    assert caplog.messages[2:] == ["999 asks (the last of 999 within 0.5 s)"]
    told.say("%s asks", "another")
    assert len(caplog.messages) == 3, "that line was one of its minute"
    await until(4)
    assert caplog.messages[3:] == ["another asks (the last of 1 within 0.5 s)"]
    await asyncio.sleep(0.6)
    told.over("no more")
    told.say("%s asks", "who comes later")
    assert caplog.messages[4:] == ["no more", "who comes later asks"], "a quiet minute, and it is said at once again"
