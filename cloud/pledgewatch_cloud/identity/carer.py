"""Who sets devices and has them do things: signs what is asked, on its way into the journal.

What may be set is the device's to say (docs/CARE.md): it holds the whole of its configuration to the check that it is
run with, of which the cloud knows nothing. Here is looked at what is wrong for every device.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pledgewatch_cloud.clock import Clock
from pledgewatch_cloud.decide import drafts
from pledgewatch_cloud.decide.batch import CareCommand, CareSettings
from pledgewatch_cloud.decide.care import CareError
from pledgewatch_cloud.spine.writer import Commits
from pledgewatch_wire.care import TOML_MAX, Command, Desired, What, check_command, sign_command, sign_settings
from pledgewatch_wire.toml_text import TomlError, read_toml

WORDS = tuple(one.name.lower() for one in What)
VALID_SETTINGS_H, VALID_COMMAND_H, VALID_MAX_H = 24 * 30, 24, 24 * 90
_HOUR_MS = 3_600_000


class Carer:
    """Sets and commands devices. `clock` is the world's, as devices have it. `commits`: for whom it is."""

    def __init__(self, key: Ed25519PrivateKey, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    async def set(
        self, device: str, toml: str, *, valid_h: int, by: str, commits: Commits, again: bool = False
    ) -> CareSettings | None:
        """Say what a device is to be set to; None where just that is said already, and is not to be said `again`.
        Raises CareError, StoreError."""
        if len(toml.encode()) > TOML_MAX:
            raise CareError(f"settings are at most {TOML_MAX} bytes of TOML")
        try:
            read_toml(toml)
        except TomlError as error:
            raise CareError(f"the settings are not TOML: {error}") from None
        now_ms = self._clock.now_ms()
        asked = CareSettings(device, "", 0, toml, by, now_ms, now_ms + valid_h * _HOUR_MS)
        outcome = await commits.commit(drafts.set_device, asked, self._sign_settings, again=again)
        if outcome is None:
            return None
        setting = outcome.state.care[device].setting
        assert setting is not None, f"{device} has no settings after they were said"
        return setting.asked

    async def set_again(self, device: str, claimed_ms: int, commits: Commits) -> None:
        """Say again what a device was set to before it claimed. Raises CareError, StoreError."""
        await commits.commit(drafts.set_again, device, claimed_ms, self._clock.now_ms(), self._sign_settings)

    async def command(
        self,
        device: str,
        what: str,
        *,
        epoch: int,
        first: int,
        last: int,
        seconds: int,
        valid_h: int,
        by: str,
        commits: Commits,
    ) -> CareCommand:
        """Say what a device is to do once. Raises CareError, StoreError."""
        now_ms = self._clock.now_ms()
        until_ms = now_ms + valid_h * _HOUR_MS
        asked = CareCommand(device, "", 0, what, epoch, first, last, seconds, by, now_ms, until_ms)
        try:
            check_command(_command(asked))
        except ValueError as error:
            raise CareError(str(error)) from None
        outcome = await commits.commit(drafts.command_device, asked, self._sign_command)
        assert outcome is not None, "a command always says something new"
        return outcome.state.care[device].commands[-1].asked

    def _sign_settings(self, asked: CareSettings) -> bytes:
        desired = Desired(asked.operator, asked.device, asked.version, asked.at_ms, asked.until_ms, asked.toml)
        return sign_settings(desired, self._key)

    def _sign_command(self, asked: CareCommand) -> bytes:
        return sign_command(_command(asked), self._key)


def _command(asked: CareCommand) -> Command:
    what = What[asked.what.upper()]
    times = asked.at_ms, asked.until_ms
    return Command(asked.operator, asked.device, asked.id, *times, what, *asked[4:8])
