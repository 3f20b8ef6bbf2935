"""What the packet plane noticed, as `why` and REST see it; other DHCP servers become site events."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from sqlalchemy.orm import Session

from pxe_edge.jobs.causes import Ignored
from pxe_edge.jobs.causes_silence import OtherServer, words
from pxe_edge.registry import timeline
from pxe_edge.servers.ports import ForeignServer, PacketNotes, Unanswered

EVENT: Final = "dhcp-server"
AGAIN_S: Final = 3600.0
"""A server that stays is an event an hour, not one a packet."""


def ignored(notes: PacketNotes | None, macs: Iterable[str]) -> tuple[Ignored, ...]:
    """Packets of these machines that got no answer."""
    return tuple(_ignored(one) for mac in macs for one in (notes.unanswered(mac) if notes else ()))


def _ignored(one: Unanswered) -> Ignored:
    return Ignored(_at(one.last_at), one.reason, one.count, one.network, one.detail)


def other_servers(notes: PacketNotes | None) -> tuple[OtherServer, ...]:
    """DHCP servers that are not ours, the one seen last first."""
    return tuple(_server(one) for one in (notes.foreign_servers() if notes else ()))


def _server(one: ForeignServer) -> OtherServer:
    return OtherServer(
        one.address, one.mac, one.interface, one.network, one.expected, one.count, _at(one.last_at)
    )


def server_at(notes: PacketNotes | None, what: str, mac: str | None) -> OtherServer | None:
    """The DHCP server with this address or MAC."""
    return next(
        (one for one in other_servers(notes) if what == one.address or (mac and mac == one.mac)), None
    )


def shown_server(one: OtherServer) -> dict[str, object]:
    """Another DHCP server as REST carries it."""
    return {
        "address": one.address,
        "mac": one.mac,
        "interface": one.interface,
        "network": one.network,
        "expected": one.expected,
        "count": one.count,
        "last_at": one.last_at.isoformat(),
    }


def shown_silence(one: Unanswered, now: datetime) -> dict[str, object]:
    """The newest silence towards a machine as REST carries it, with what to do."""
    said = words(_ignored(one), mac=one.mac, now=now)
    return {
        "mac": one.mac,
        "reason": one.reason,
        "sentence": f"{said['why']}: {said['seen']}.",
        "next": said["step"],
        "network": one.network,
        "detail": one.detail,
        "count": one.count,
        "first_at": _at(one.first_at).isoformat(),
        "last_at": _at(one.last_at).isoformat(),
    }


class ServerEvents:
    """Writes a site event for each DHCP server that must not be there, when it shows up and hourly."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], datetime] = {}

    def due(self, notes: PacketNotes | None) -> list[OtherServer]:
        """The servers of which an event is due; asking counts as told."""
        seen = {(one.address, one.interface): one for one in other_servers(notes) if not one.expected}
        self._told = {key: at for key, at in self._told.items() if key in seen}
        fresh = []
        for key, one in seen.items():
            told = self._told.get(key)
            if told is None or (one.last_at - told).total_seconds() >= AGAIN_S:
                self._told[key] = one.last_at
                fresh.append(one)
        return fresh

    @staticmethod
    def write(session: Session, now: datetime, server: OtherServer) -> None:
        """Put one event into the site's history."""
        where = f"{server.network or 'no network of the Site'} ({server.interface})"
        text = f"{server.address} answers DHCP on {where} and is not ours: seen {server.count} times"
        timeline.add(session, now, EVENT, text, mac=server.mac, detail=shown_server(server))


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
