"""All commands of the BMC in one table."""

from collections.abc import Mapping

from lab.bmc.commands import app, chassis, session, storage, sysinfo, transport, users
from lab.bmc.controller import Command

COMMANDS: Mapping[tuple[int, int], Command] = {
    **app.COMMANDS,
    **users.COMMANDS,
    **session.COMMANDS,
    **chassis.COMMANDS,
    **transport.COMMANDS,
    **sysinfo.COMMANDS,
    **storage.COMMANDS,
}
