"""Ports and rights of the edge: who has the ports that firmware knows, and what the edge's process may."""

from collections.abc import Iterator
from dataclasses import dataclass

from metal.doctor import kernel
from metal.doctor.findings import Finding, failed, ok, skipped, warning
from metal.doctor.kernel import Holder, Protocol
from metal.doctor.surroundings import ON_THE_EDGE, Surroundings

DHCP, TFTP, PROXY = 67, 69, 4011
_COMMAND_SHOWN = 240
_NEEDS = {
    "CAP_NET_BIND_SERVICE": ("failed", "it can't bind ports 67 and 69"),
    "CAP_NET_RAW": ("failed", "it can't send to machines that have no address yet"),
    "CAP_NET_ADMIN": ("warning", "its receive buffers stay small, and a boot storm loses packets"),
}


@dataclass(frozen=True, slots=True)
class Port:
    """A port of the edge."""

    protocol: Protocol
    number: int
    what: str

    @property
    def name(self) -> str:
        """As people write it."""
        return f"{self.protocol.upper()} port {self.number} ({self.what})"


def ports_of(around: Surroundings) -> list[Port]:
    """The ports that this site's edge needs."""
    modes = {network.mode for network in around.networks}
    wanted = [
        Port("tcp", around.control_port, "API"),
        Port("tcp", around.boot_port, "boot HTTP"),
        Port("udp", TFTP, "TFTP"),
    ]
    if not modes or modes - {"off"}:
        wanted.append(Port("udp", DHCP, "DHCP"))
    if "proxy" in modes:
        wanted.append(Port("udp", PROXY, "proxyDHCP"))
    return wanted


def edge_process(around: Surroundings) -> Holder | None:
    """The edge's process: who listens on the API's port, and is one of ours."""
    found = kernel.lasting_holders("tcp", around.control_port)
    return next((holder for holder in found if "pxe_edge" in holder.command or not holder.pid), None)


def check_ports(around: Surroundings) -> Iterator[Finding]:
    """Each port of the edge: held by the edge, by somebody else, by both, or by nobody."""
    if not around.on_edge_host:
        yield skipped("ports", ON_THE_EDGE)
        return
    edge = edge_process(around)
    for port in ports_of(around):
        found = kernel.lasting_holders(port.protocol, port.number)
        yield judge_port(port, found, edge, answers=around.edge is not None)


def judge_port(port: Port, found: tuple[Holder, ...], edge: Holder | None, *, answers: bool) -> Finding:
    """The verdict on one port."""
    others = [holder for holder in found if edge is None or holder.pid != edge.pid]
    if others:
        names = ", ".join(str(holder) for holder in others)
        shared = len(others) < len(found)
        said = f"is also bound by {names}: requests are split between the two" if shared else f"has {names}"
        commands = "; ".join(holder.command[:_COMMAND_SHOWN] for holder in others if holder.command)
        stop = f"stop it ({commands})" if commands else "find it as root (ss -lnup, ss -lntp), and stop it"
        return failed(port.name, said, f"{stop}, then start the edge again")
    if not found:
        if answers:
            return failed(
                port.name,
                "nobody listens, though the edge runs",
                "see the edge's log: journalctl -u rackflow-edge",
            )
        return ok(port.name, "is free for the edge")
    return ok(port.name, "the edge has it")


def check_rights(around: Surroundings) -> Iterator[Finding]:
    """The capabilities of the edge's process, or of this user while no edge runs."""
    if not around.on_edge_host:
        yield skipped("rights", ON_THE_EDGE)
        return
    edge = edge_process(around)
    whose = f"the edge (pid {edge.pid})" if edge and edge.pid else "this user"
    try:
        yield from judge_rights(kernel.capabilities(edge.pid if edge and edge.pid else "self"), whose)
    except OSError as error:
        yield skipped(
            "rights", f"{whose} can't be looked at: {error.strerror}", "run rackflow doctor as root"
        )


def judge_rights(has: frozenset[str], whose: str) -> Iterator[Finding]:
    """The verdict on each capability."""
    for name, (status, effect) in _NEEDS.items():
        if name in has:
            yield ok(name, f"{whose} has it")
        elif name == "CAP_NET_BIND_SERVICE" and kernel.first_open_port() <= DHCP:
            yield ok(name, "not needed: net.ipv4.ip_unprivileged_port_start lets everybody bind port 67")
        else:
            grant = f"AmbientCapabilities={name} in the edge's unit, or run it as root"
            make = failed if status == "failed" else warning
            yield make(name, f"{whose} lacks it: {effect}", grant)
