"""What all spec documents share: the base of their shapes, names, and YAML's on and off."""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints
from pydantic.alias_generators import to_camel

API_VERSION: Final = "rackflow/v1"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
"""A DNS label or dotted name: it becomes a host name, a run name and a file name."""


def _on_off(value: object) -> object:
    # YAML 1.1 reads a bare on/off as a boolean; operators write it bare.
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


BARE_ON_OFF: Final = BeforeValidator(_on_off)
"""For every choice that has `on` or `off` among its words."""
OnOff = Annotated[Literal["on", "off"], BARE_ON_OFF]


IpAddress = IPv4Address | IPv6Address
IpInterface = IPv4Interface | IPv6Interface
IpNetwork = IPv4Network | IPv6Network
"""Either family; which one a network is of is said by its subnet alone."""


class Spec(BaseModel):
    """Base of all spec shapes: immutable, camelCase outside, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Metadata(Spec):
    """Name and free labels of a document."""

    name: Name
    labels: dict[str, str] = {}
