"""Setting a BMC up in band: address, user, password, access, serial over LAN. Decides; sends nothing.

Commands go to `ipmitool exec` on stdin, several in one process. The password is the raw command Set
User Password (IPMI 2.0 22.30) in hexadecimal: it is in no argv, and `exec` has quotes, `#` and `~` of
its own that a password must not meet. Only what differs from the reading is asked for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from metal.drivers.bmc.in_band import BmcSetup
from metal.drivers.bmc.ipmitool.users import BmcUser
from metal.errors import Refused, SpecError
from metal.protocols import Command, Output

EXEC: Final = ("ipmitool", "exec", "/proc/self/fd/0")
ASK: Final = ("sh", "-c", "cat | ipmitool exec /proc/self/fd/0")
"""The same where stdin is sshd's: that is a socket, which can't be opened by its name in /proc."""
FIRST_FREE_SLOT: Final = 3
"""Slot 1 is the null user and slot 2 the factory's administrator almost everywhere; both are left alone."""
PROOF_LENGTH: Final = 14
"""What fits into the first block of a system info text (IPMI 2.0 22.14a)."""
EVENT_BYTES: Final = 6
OEM_TIMESTAMPED: Final = 0xC0
ADMINISTRATOR: Final = 4
SET, TEST = 2, 3
"""Operations of Set User Password."""

_USER_NAME = re.compile(r"^[A-Za-z0-9_.-]{1,16}$")
_PROOF = re.compile(r"^[A-Za-z0-9]+$")


@dataclass(frozen=True, slots=True)
class BmcWish:
    """What the BMC is to be; `password` None leaves the one that is there."""

    user: str
    address: str
    netmask: str
    gateway: str | None = None
    password: str | None = field(default=None, repr=False)


def choose_slot(users: tuple[BmcUser, ...], name: str, host: str | None = None) -> int:
    """The slot that has the name, else the first empty one from 3 on. Raises Refused when all are taken."""
    for user in users:
        if user.name == name:
            return user.id
    free = [user.id for user in users if user.name is None and user.id >= FIRST_FREE_SLOT]
    if not free:
        taken = ", ".join(f"{user.id} {user.name}" for user in users)
        raise Refused(
            f"no user slot of the BMC is free for {name!r}; taken: {taken}",
            host=host,
            reason="refused",
            hint="remove a user in the BMC",
        )
    return min(free)


def setup_changes(seen: BmcSetup, wish: BmcWish, host: str | None = None) -> tuple[Command, ...]:
    """The commands that make the BMC so; none where it is so already and no password is given."""
    if not _USER_NAME.match(wish.user):
        raise SpecError(
            f"a BMC user is 1 to 16 of A-Z a-z 0-9 _ . -, got {wish.user!r}", host=host, reason="refused"
        )
    slot = choose_slot(seen.users, wish.user, host)
    groups = (
        (f"set the BMC's address to {wish.address}", list(_lan_lines(seen, wish))),
        (f"set up BMC user {wish.user} in slot {slot}", list(_user_lines(seen, wish, slot))),
        ("enable serial over LAN", list(_sol_lines(seen, wish, slot))),
    )
    return tuple(_exec(says, lines) for says, lines in groups if lines)


def password_question(seen: BmcSetup, wish: BmcWish) -> bytes | None:
    """What to put to ASK to learn whether the BMC has the wish's password; None without a slot.

    `ipmitool user test` takes the password in its argv or asks a terminal for it; this is the command behind
    it (Set User Password, operation 3).
    """
    user = next((user for user in seen.users if user.name == wish.user), None)
    if user is None or wish.password is None:
        return None
    return ("raw 0x06 0x47 " + " ".join(_hex(_password(user.id, wish.password, TEST))) + "\n").encode()


def password_answer(said: Output) -> bool | None:
    """Whether the BMC has it; None where it does not say (no such command, no such operation)."""
    if said.ok:
        return True
    return False if re.search(r"rsp=0x8[01]\b", said.stderr + said.stdout) else None


def not_taken(seen: BmcSetup, wish: BmcWish) -> tuple[str, ...]:
    """What was sent and is not there: BMCs take what they then do not keep, and say that all is well."""
    user = next((user for user in seen.users if user.name == wish.user), None)
    if user is None:
        return (f"no user slot has the name {wish.user}",)
    found = []
    if user.enabled is False:
        found.append(f"user {wish.user} is disabled")
    if user.privilege not in (None, "ADMINISTRATOR") or user.ipmi_msg is False:
        found.append(f"user {wish.user} may not log in as administrator ({user.privilege})")
    if seen.lan.address != wish.address:
        found.append(f"the address is {seen.lan.address}")
    return tuple(found)


def proof_change(value: str) -> Command:
    """Write a random text where the LAN side can read it: system info, primary OS name.

    The BMC drops it at the next power cycle or when an OS sets its own, so nothing is left behind.
    """
    if len(value) != PROOF_LENGTH or not _PROOF.match(value):
        raise ValueError(f"a proof is {PROOF_LENGTH} letters and digits, got {len(value)} characters")
    data = bytes((3, 0, 0, PROOF_LENGTH)) + value.encode()
    argv = ("ipmitool", "raw", "0x06", "0x58", *_hex(data))
    return Command(argv=argv, says="write a proof into the BMC", timeout_s=60)


def event_change(value: bytes) -> Command:
    """Write a random value into the event log, which every BMC has: a timestamped OEM record (IPMI 2.0 32.2).

    It stays there as a line of the log; for BMCs without system info.
    """
    if len(value) != EVENT_BYTES:
        raise ValueError(f"an OEM record holds {EVENT_BYTES} bytes, got {len(value)}")
    record = bytes((0, 0, OEM_TIMESTAMPED, 0, 0, 0, 0, 0, 0, 0)) + value
    argv = ("ipmitool", "raw", "0x0a", "0x44", *_hex(record))
    return Command(argv=argv, says="write a proof into the BMC's event log", timeout_s=60)


def _lan_lines(seen: BmcSetup, wish: BmcWish) -> Iterator[str]:
    # The source comes first: while it is DHCP, most BMCs refuse an address (completion code 0x82).
    lan, channel = seen.lan, seen.channel
    if lan.ip_source != "static":
        yield f"lan set {channel} ipsrc static"
    if lan.address != wish.address or lan.ip_source != "static":
        yield f"lan set {channel} ipaddr {wish.address}"
    if lan.netmask != wish.netmask or lan.ip_source != "static":
        yield f"lan set {channel} netmask {wish.netmask}"
    if wish.gateway and lan.gateway != wish.gateway:
        yield f"lan set {channel} defgw ipaddr {wish.gateway}"
    if seen.access_mode != "always available":
        yield f"lan set {channel} access on"


def _user_lines(seen: BmcSetup, wish: BmcWish, slot: int) -> Iterator[str]:
    user = _user(seen, slot)
    if user is None or user.name != wish.user:
        yield f"user set name {slot} {wish.user}"
    if wish.password is not None:
        yield "raw 0x06 0x47 " + " ".join(_hex(_password(slot, wish.password)))
    if not _has_access(user):
        access = f"link=on ipmi=on callin=on privilege={ADMINISTRATOR}"
        yield f"channel setaccess {seen.channel} {slot} {access}"
    if wish.password is not None or user is None or user.enabled is not True:
        yield f"user enable {slot}"


def _sol_lines(seen: BmcSetup, wish: BmcWish, slot: int) -> Iterator[str]:
    if seen.sol is not True:
        yield f"sol set enabled true {seen.channel}"
    user = _user(seen, slot)
    if user is None or user.name != wish.user or not _has_access(user):
        yield f"sol payload enable {seen.channel} {slot}"


def _user(seen: BmcSetup, slot: int) -> BmcUser | None:
    return next((user for user in seen.users if user.id == slot), None)


def _has_access(user: BmcUser | None) -> bool:
    return bool(user and user.privilege == "ADMINISTRATOR" and user.ipmi_msg and user.link_auth)


def _password(slot: int, password: str, operation: int = SET) -> bytes:
    """Set User Password: slot (bit 7: twenty bytes), operation, the bytes padded with zeros."""
    text = password.encode()
    if not 1 <= len(text) <= 20:
        raise ValueError(f"an IPMI password has 1 to 20 bytes, got {len(text)}")
    size = 16 if len(text) <= 16 else 20
    return bytes((slot | (0x80 if size == 20 else 0), operation)) + text.ljust(size, b"\0")


def _hex(data: bytes) -> list[str]:
    return [f"0x{byte:02x}" for byte in data]


def _exec(says: str, lines: list[str]) -> Command:
    return Command(
        argv=EXEC,
        says=says,
        stdin="".join(f"{line}\n" for line in lines).encode(),
        timeout_s=30 + 15 * len(lines),
    )
