"""A BMC over the LAN: IPMI 2.0 (RMCP+) by pyghmi.

Raw commands are used throughout, because what was set has to be read back bit by bit: pyghmi's own
helpers drop the persistent and EFI bits. BMCs have few sessions, so `close` logs out; pyghmi 1.6 has
that only on its session object. A BMC that refuses us says the same again, one that is silent may not.
"""

from types import TracebackType
from typing import Any, Final, Literal, NoReturn, Self
from uuid import UUID

from pyghmi.exceptions import PyghmiException
from pyghmi.ipmi.command import Command

from metal.errors import RackflowError, Refused, Unparsable, Unreachable
from metal.protocols import BootFlags, BootTarget, PowerAction
from metal.transport.lane import Lane, Late
from specs.identity import mac_identity, uuid_identity

ADMINISTRATOR: Final = 4
_CHASSIS, _APP, _STORAGE, _TRANSPORT = 0x00, 0x06, 0x0A, 0x0C
_BOOT_FLAGS: Final = 5
_BOOT_FLAG_CLEARING: Final = 3
_KEEP_ON_TIMEOUT: Final = 0x08
"""Parameter 3, bit 3: do not drop the flags when no power command comes within 60 s (IPMI 2.0 28.13)."""
_PRESENT_CHANNEL: Final = 0x0E
_PRIMARY_OS_NAME: Final = 3

_POWER: Final[dict[PowerAction, int]] = {"off": 0, "on": 1, "cycle": 2, "reset": 3, "soft": 5}
"""Chassis Control, IPMI 2.0 table 28-4."""
_BOOT_DEVICES: Final[dict[BootTarget, int]] = {"none": 0, "pxe": 1, "disk": 2, "cdrom": 5, "bios": 6}
"""Boot flags data 2, bits 5:2, IPMI 2.0 table 28-14."""
_COMPLETION: Final = {
    0xC0: "node busy",
    0xC1: "command not supported",
    0xC3: "timeout in the BMC",
    0xC9: "parameter out of range",
    0xCC: "invalid data field",
    0xD4: "insufficient privilege",
    0xD5: "not possible in the present state",
}
_WORTH_A_RETRY: Final = frozenset({0xC0, 0xC3, 0xFFFF})
_REFUSALS: Final = ("password", "unauthorized", "privilege", "role", "integrity", "cipher", "user", "login")
"""Words in pyghmi's login errors (RAKP status texts) that mean no; the others may pass."""


class IpmiBmc:
    """A `protocols.Bmc` with one session; use as a context manager."""

    def __init__(self, host: str, address: str, session: Command, lane: Lane, *, timeout_s: float) -> None:
        self.host = host
        self.address = address
        self._session = session
        self._lane = lane
        self._timeout_s = timeout_s

    @classmethod
    def connect(
        cls,
        host: str,
        address: str,
        *,
        user: str,
        password: str,
        port: int = 623,
        login_timeout_s: float = 20,
        timeout_s: float = 20,
    ) -> Self:
        """Log in as administrator. Raises Refused (bmc-unverified) or Unreachable."""
        lane = Lane(f"ipmi {address}")

        def login() -> Command:
            # pyghmi 1.6 files a session under the words given and drops it under their bytes: with text, the
            # next login with the same words would get the dead session back.
            words = {"userid": user.encode(), "password": password.encode()}
            return Command(bmc=address, port=port, privlevel=ADMINISTRATOR, **words)

        try:
            session = lane.run(login, login_timeout_s)
        except (PyghmiException, OSError, Late) as error:
            lane.close()
            raise login_failure(host, address, user, str(error)) from error
        return cls(host, address, session, lane, timeout_s=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Log out; a BMC that does not answer ends the session by itself after a minute."""
        try:
            self._lane.run(self._session.ipmi_session.logout, 5)
        except (PyghmiException, OSError, Late, AttributeError, KeyError):
            pass
        finally:
            self._lane.close()

    def power(self) -> Literal["on", "off"]:
        """Get Chassis Status, bit 0 (IPMI 2.0 28.2)."""
        return "on" if self._raw(_CHASSIS, 0x01)[0] & 1 else "off"

    def set_power(self, action: PowerAction) -> None:
        """Chassis Control; `reset` and `cycle` of a machine that is off are refused by most BMCs."""
        self._raw(_CHASSIS, 0x02, (_POWER[action],))

    def boot_flags(self) -> BootFlags:
        """Get System Boot Options, parameter 5."""
        return decode_boot_flags(self.host, self._raw(_CHASSIS, 0x09, (_BOOT_FLAGS, 0, 0)))

    def set_boot_flags(self, flags: BootFlags) -> None:
        """Set System Boot Options, parameter 5; the 60 s after which BMCs drop it are switched off first."""
        if flags.target != "none":
            self._raw(_CHASSIS, 0x08, (_BOOT_FLAG_CLEARING, _KEEP_ON_TIMEOUT), may_be_missing=True)
        self._raw(_CHASSIS, 0x08, (_BOOT_FLAGS, *encode_boot_flags(flags)))

    def guid(self) -> str | None:
        """Get System GUID (IPMI 2.0 22.14); its bytes are read as SMBIOS orders them, as in band."""
        data = self._raw(_APP, 0x37, may_be_missing=True)
        return uuid_identity(str(UUID(bytes_le=data[:16]))) if len(data) >= 16 else None

    def lan_mac(self) -> str | None:
        """The MAC of the channel that we talk over: Get LAN Configuration, parameter 5."""
        data = self._raw(_TRANSPORT, 0x02, (_PRESENT_CHANNEL, 5, 0, 0), may_be_missing=True)
        return mac_identity(data[1:7].hex(":")) if len(data) >= 7 else None

    def read_proof(self) -> str | None:
        """The text that was written in band as system info "primary OS name", "" when nothing was.

        None where the BMC has no such parameter: nothing can be proven by it.
        """
        data = self._raw(_APP, 0x59, (0, _PRIMARY_OS_NAME, 0, 0), may_be_missing=True)
        return (decode_system_info(data) or "") if data else None

    def last_event(self) -> bytes | None:
        """The last record of the event log, sixteen bytes (Get SEL Entry); None where there is none."""
        data = self._raw(_STORAGE, 0x43, (0, 0, 0xFF, 0xFF, 0, 0xFF), may_be_missing=True)
        return data[2:18] if len(data) >= 18 else None

    def _raw(
        self, netfn: int, command: int, data: tuple[int, ...] = (), *, may_be_missing: bool = False
    ) -> bytes:
        what = f"IPMI 0x{netfn:02x} 0x{command:02x} {bytes(data).hex()}".rstrip()
        try:
            answer: dict[str, Any] = self._lane.run(
                lambda: self._session.raw_command(netfn=netfn, command=command, data=data), self._timeout_s
            )
        except (PyghmiException, OSError, Late) as error:
            raise Unreachable(
                f"{what}: no answer from the BMC at {self.address}: {error}",
                host=self.host,
                reason="unreachable",
            ) from error
        code = int(answer.get("code") or 0)
        if code and not (may_be_missing and code in (0x80, 0xC1, 0xC9, 0xCB, 0xCC)):
            self._fail(what, code)
        return bytes(answer.get("data") or b"") if not code else b""

    def _fail(self, what: str, code: int) -> NoReturn:
        message = (
            f"{what}: the BMC at {self.address} answers 0x{code:02x} ({_COMPLETION.get(code, 'refused')})"
        )
        if code in _WORTH_A_RETRY:
            raise Unreachable(message, host=self.host, reason="unreachable")
        raise Refused(message, host=self.host, reason="refused")


def login_failure(host: str, address: str, user: str, said: str) -> RackflowError:
    """A login error as one of ours: a no is Refused, silence and lack of sessions are Unreachable."""
    words = said.lower()
    if any(word in words for word in _REFUSALS) and "insufficient resources" not in words:
        return Refused(
            f"the BMC at {address} refuses user {user!r}: {said}",
            host=host,
            reason="bmc-unverified",
            hint=f"rackflow credentials {host}",
        )
    return Unreachable(f"no IPMI session with {address}: {said}", host=host, reason="unreachable")


def decode_boot_flags(host: str, data: bytes) -> BootFlags:
    """Version, parameter, then five bytes; without the valid bit nothing is set."""
    if len(data) < 4 or data[1] & 0x7F != _BOOT_FLAGS:
        raise Unparsable(
            f"boot flags: expected parameter 5, got {data.hex()}", host=host, reason="unparsable"
        )
    flags, device = data[2], data[3] >> 2 & 0x0F
    if data[1] & 0x80 or not flags & 0x80:
        return BootFlags("none", persistent=False, efi=False)
    target = next((name for name, number in _BOOT_DEVICES.items() if number == device), None)
    if target is None:
        raise Unparsable(f"boot flags: device {device} has no name here", host=host, reason="unparsable")
    return BootFlags(target, persistent=bool(flags & 0x40), efi=bool(flags & 0x20))


def encode_boot_flags(flags: BootFlags) -> tuple[int, ...]:
    """The five bytes of parameter 5; "none" clears all."""
    if flags.target == "none":
        return (0, 0, 0, 0, 0)
    first = 0x80 | (0x40 if flags.persistent else 0) | (0x20 if flags.efi else 0)
    return (first, _BOOT_DEVICES[flags.target] << 2, 0, 0, 0)


def decode_system_info(data: bytes) -> str | None:
    """Revision, set selector, encoding, length, text (IPMI 2.0 22.14a): first block, ASCII or UTF-8 only."""
    if len(data) < 4 or data[2] & 0x0F not in (0, 1) or not data[3]:
        return None
    return data[4 : 4 + data[3]].decode(errors="replace").rstrip("\0") or None
