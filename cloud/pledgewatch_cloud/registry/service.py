"""The composition root of a registry: file, members, API."""

import asyncio
import contextlib
import logging
import signal
import uuid

from pledgewatch_cloud.clock import Clock, SystemClock
from pledgewatch_cloud.credentials import CredentialError, key_in
from pledgewatch_cloud.decide.registry import request
from pledgewatch_cloud.decide.registry.request import Dropping, KeptRequest, RequestError, UsingKeys
from pledgewatch_cloud.notices.senders import SenderKeys, Senders
from pledgewatch_cloud.registry.app import Desk, create_app
from pledgewatch_cloud.registry.kept import KeptBook, Signed
from pledgewatch_cloud.registry.settings import RegistrySettings
from pledgewatch_cloud.serving import Server, ServingError, at_the_address, listen, secured_by, sole_use
from pledgewatch_wire.settings import unreadable

log = logging.getLogger(__name__)
PROGRAM = "pledgewatch-cloud registry"
_SECTION = "[listen]"


async def run(settings: RegistrySettings) -> None:
    """Run until SIGTERM or SIGINT. Raises ServingError, StoreError or DamagedError where it cannot start."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if faults := unreadable(settings.files()):
        raise ServingError("\n".join(faults))
    where, clock = settings.listen, SystemClock()
    tls = secured_by(where.certificate_file, where.key_file, _SECTION)
    with contextlib.ExitStack() as stack:
        members = _members(settings)
        listener = stack.enter_context(listen("the registry", where.host, where.port, _SECTION))
        stack.enter_context(sole_use(settings.service.data_folder, PROGRAM))
        kept = KeptBook(settings.service.data_folder, look=lambda rows: log.info("%d requests read again", rows))
        stack.callback(kept.close)
        use_keys(kept, settings, clock)
        limits = {one.id: one.questions_an_hour for one in settings.members}
        log.info("%d claims are live", sum(kept.book.of_members.values()))
        server = Server(at_the_address(create_app(Desk(kept, members, limits, clock)), where, _SECTION, tls))
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="api")
        serving.add_done_callback(lambda _: stop.set())
        await stop.wait()
        server.should_exit = True
        await serving
        log.info("stopping")


def use_keys(kept: KeptBook, settings: RegistrySettings, clock: Clock) -> None:
    """Go over to the keys of the configuration, where they are others. Raises ServingError where claims lack them."""
    keys = UsingKeys(settings.marks.key, settings.marks.next_key)
    if kept.book.keys != keys:
        try:
            _say(kept, keys, clock)
        except RequestError as error:
            raise ServingError(f"[marks] key: {error}") from None


def drop(settings: RegistrySettings, member: str) -> bool:
    """Withdraw all claims of a member that has gone, while the registry does not run; whether there were any. Raises
    ServingError."""
    if member in {one.id for one in settings.members}:
        raise ServingError(f"{member} is a member; take it out of [[members]] first")
    with contextlib.ExitStack() as stack:
        stack.enter_context(sole_use(settings.service.data_folder, PROGRAM))
        kept = KeptBook(settings.service.data_folder)
        stack.callback(kept.close)
        return member in kept.book.of_members and _say(kept, Dropping(member), SystemClock())


def _say(kept: KeptBook, said: KeptRequest, clock: Clock) -> bool:
    """Keep what the operator says, who needs no signature: whoever can do this has the file in their hands."""
    signed = Signed("", uuid.uuid4().hex, clock.now_ms() // 1_000, "", request.write(said))
    return kept.ask(signed, said, clock.now_ms(), 0).is_changed


def _members(settings: RegistrySettings) -> Senders:
    try:
        return Senders([SenderKeys(one.id, tuple(map(key_in, one.secret_files))) for one in settings.members])
    except (CredentialError, ValueError) as error:
        raise ServingError(f"[[members]] {error}") from None
