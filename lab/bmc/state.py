"""What a BMC remembers: one state that both its sides, in band and LAN, read and change."""

import ipaddress
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab.processes import write_atomically

MAX_USERS = 10
NO_PRIVILEGE = 15
ADMINISTRATOR = 4
UNSET_ADDRESS = "0.0.0.0"
SOURCE_STATIC = 1
SOURCE_DHCP = 2
NO_BOOT_FLAGS = "00" * 5


@dataclass
class User:
    """One user slot. `access` is bits 6:4 of Set User Access (callback only, link auth, IPMI messaging)."""

    name: str = ""
    password: str = ""
    privilege: int = NO_PRIVILEGE
    enabled: bool = False
    access: int = 0

    @property
    def may_log_in(self) -> bool:
        """Whether a LAN session can be opened: enabled, IPMI messaging on, some privilege."""
        return self.enabled and bool(self.access & 0x10) and 1 <= self.privilege <= ADMINISTRATOR


@dataclass
class LanSettings:
    """The LAN channel's own address."""

    source: int = SOURCE_STATIC
    address: str = UNSET_ADDRESS
    netmask: str = UNSET_ADDRESS
    gateway: str = UNSET_ADDRESS
    vlan: int = 0

    @property
    def interface(self) -> ipaddress.IPv4Interface | None:
        """Address and prefix once both are set and make sense."""
        if UNSET_ADDRESS in (self.address, self.netmask):
            return None
        try:
            return ipaddress.IPv4Interface(f"{self.address}/{self.netmask}")
        except ValueError:
            return None


@dataclass
class BmcState:
    """All of it; `save` is called by whoever changed something."""

    users: dict[int, User]
    lan: LanSettings = field(default_factory=LanSettings)
    boot_flags: str = NO_BOOT_FLAGS
    power_policy: int = 1
    sol_enabled: bool = True
    channel_access: int = 2
    channel_privilege: int = ADMINISTRATOR
    system_info: dict[str, str] = field(default_factory=dict)
    sel: list[str] = field(default_factory=list)

    @classmethod
    def factory(cls, name: str, password: str) -> "BmcState":
        """As delivered: one administrator in slot 2, no address."""
        return cls({2: User(name, password, ADMINISTRATOR, enabled=True, access=0x30)})

    def user(self, slot: int) -> User:
        """A slot's user; an empty one for a slot never used, which is not remembered before it is changed."""
        return self.users.setdefault(slot, User())


def to_json(state: BmcState) -> str:
    """The state as text; slots as keys."""
    return json.dumps(asdict(state), indent=1)


def from_json(text: str) -> BmcState:
    """The state of a text; ValueError when it is not one."""
    try:
        raw: dict[str, Any] = json.loads(text)
        users = {int(slot): User(**user) for slot, user in raw.pop("users").items()}
        lan = LanSettings(**raw.pop("lan"))
        return BmcState(users=users, lan=lan, **raw)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a BMC state: {error}") from error


class StateFile:
    """Keeps the state in a file, replaced in one step (it holds passwords: owner only)."""

    def __init__(self, path: Path, factory: Callable[[], BmcState]) -> None:
        self._path = path
        self._factory = factory

    def load(self) -> BmcState:
        """The remembered state, else the factory's."""
        if not self._path.exists():
            return self._factory()
        return from_json(self._path.read_text())

    def save(self, state: BmcState) -> None:
        """Remember."""
        write_atomically(self._path, to_json(state))

    def reset(self) -> BmcState:
        """Forget everything; the factory state."""
        self._path.unlink(missing_ok=True)
        return self._factory()
