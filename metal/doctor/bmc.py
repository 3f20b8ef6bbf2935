"""BMCs: whether each known address answers an RMCP presence ping, else ICMP.

ASF 2.0 section 3.2.4, IPMI 2.0 section 13.2.4. No login: a wrong password locks accounts.
"""

import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Final

from metal.doctor import icmp, kernel
from metal.doctor.findings import Finding, failed, ok, skipped, warning
from metal.doctor.surroundings import Surroundings

PORT: Final = 623
PING: Final = bytes.fromhex("06 00 ff 06 000011be 80 00 00 00")
PONG: Final = 0x40
SHOWN: Final = 10
_AT_ONCE: Final = 32
_TRIES: Final = 2
_WAIT_S: Final = 1.0


def check_bmcs(around: Surroundings, port: int = PORT) -> Iterator[Finding]:
    """All BMCs that the edge knows; those that answer make one line."""
    if around.edge is None:
        yield skipped("BMCs", "the edge does not answer")
        return
    known = around.edge.bmcs
    if not known:
        yield skipped("BMCs", "no host has a BMC address yet")
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip(known, pool.map(lambda a: answers_at(a, port), known.values()), strict=True))
    yield from judge(known, answers, here_counts=around.on_edge_host)


def judge(known: Mapping[str, str], answers: Mapping[str, str], *, here_counts: bool) -> Iterator[Finding]:
    """One line for those that answer, one each for those that do not."""
    silent = {host: address for host, address in known.items() if not answers[host]}
    good = len(known) - len(silent)
    if good:
        pinged = sum(how == "icmp" for how in answers.values())
        extra = f", {pinged} of them to ping only (IPMI over LAN may be off)" if pinged else ""
        yield ok("BMCs", f"{good} of {len(known)} answer{extra}")
    make = failed if here_counts else warning
    for host, address in list(silent.items())[:SHOWN]:
        fix = "look at its cable and address; in band: ipmitool lan print 1"
        if not here_counts:
            fix = "BMCs need to be reached from the workers only; run rackflow doctor there"
        yield make(f"BMC of {host}", f"{address} is silent to RMCP and ping{_way(address)}", fix)
    if len(silent) > SHOWN:
        yield make("BMCs", f"{len(silent) - SHOWN} more are silent", "rackflow hosts lists their addresses")


def _way(address: str) -> str:
    try:
        route = kernel.route_to(ip_address(address))
    except ValueError:
        return ""
    if route is None:
        return "; there is no route to it"
    return f"; the way is by {route.interface}" + (f" via {route.via}" if route.via else "")


def answers_at(address: str, port: int = PORT) -> str:
    """`rmcp`, `icmp`, or nothing."""
    try:
        where = ip_address(address)
    except ValueError:
        return "rmcp" if presence(address, port) else ""
    if presence(address, port):
        return "rmcp"
    return "icmp" if icmp.echo(where) else ""


def presence(address: str, port: int = PORT) -> bool:
    """Whether a presence ping comes back as a pong."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((address, port))
            for _ in range(_TRIES):
                sock.send(PING)
                if _ponged(sock, time.monotonic() + _WAIT_S):
                    return True
        except OSError:  # no route, or nobody listens there
            return False
    return False


def _ponged(sock: socket.socket, deadline: float) -> bool:
    while (left := deadline - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            data = sock.recv(2048)
        except TimeoutError:
            return False
        if len(data) > 8 and data[3] == PING[3] and data[8] == PONG:
            return True
    return False
