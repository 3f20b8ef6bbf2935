"""The registry in memory, for packets: which host has which MAC, and is a boot due.

Rebuilt host by host after each commit that touched one, so that ten thousand hosts cost nothing per
packet and one host's change costs one host's reading. Requests are noted in memory and written once
a second: a machine that hammers the edge costs a row, not a transaction per packet.
"""

import itertools
import threading
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from sqlalchemy.orm import Session

from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import HostView, SiteView
from pxe_edge.registry import addresses, host_views, sightings, timeline
from pxe_edge.registry.announced import Announced
from pxe_edge.registry.database import Touched
from pxe_edge.registry.noticed import ServerEvents
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.site_view import bootos_view, site_view
from pxe_edge.registry.specsets import Current
from pxe_edge.servers.loaders import absent_loaders
from specs.identity import serial_in_uuid, uuid_identity
from specs.shapes import IpAddress

MAX_NOTED = 4096
"""Requests kept between two writes; what comes on top of it is not noted."""
MAX_WRITTEN = 200
"""Requests written in one go, twice a second: in a storm the leases need the time. The rest comes next."""


class PacketView:
    """`pxe_edge.servers.ports.View` over the registry. Swaps are assignments, reads take no lock."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._site = SiteView(name="")
        self._by_mac: dict[str, HostView] = {}
        self._by_uuid: dict[str, HostView] = {}
        self._of_host: dict[str, HostView] = {}
        self._by_serial: dict[str, HostView] = {}
        """Hosts of which only the serial is known: a vendor's UUID may hold it."""
        self._kept: dict[str, dict[IpAddress, str]] = {}
        self._serial_of: dict[str, str] = {}
        self._bound: set[str] = set()
        """Specs that have their machine."""
        self._spec_of: dict[str, str] = {}
        self._announced: Announced | None = None
        self._noted: dict[tuple[str, str], tuple[datetime, BootRequest, str]] = {}
        self._servers = ServerEvents()
        self._lock = threading.Lock()
        self._taking = threading.Lock()
        with registry.db.read() as session:
            for seen in host_views.read(session):
                self._add(seen)
        registry.db.on_commit(self._refresh)
        registry.on_current(self._take)

    @property
    def boot_folder(self) -> Path:
        """What TFTP and the boot plane serve."""
        return self._registry.data / "boot"

    def _take(self, _current: Current | None = None) -> None:
        with self._taking:  # the newest set and the newest addresses, whoever of three threads calls
            current = self._registry.current
            if current is None:
                return
            self._announced = current.announced
            self._site = site_view(
                current.site,
                self._registry.addresses,
                http_port=self._registry.ports.boot,
                bootos=bootos_view(self.boot_folder),
                absent_loaders=absent_loaders(self.boot_folder),
                kept=self._owners(current),
                fixed=self._fixed(),
            )

    def _owners(self, current: Current) -> dict[IpAddress, frozenset[str]]:
        """Addresses that no lease may take from a host: those that specs name, and those that IPAM keeps."""
        owners = {ip_address(address): frozenset[str]() for address in current.named_addresses}
        for host_id, kept in list(self._kept.items()):
            view = self._of_host.get(host_id)
            owners.update(dict.fromkeys(kept, view.macs if view is not None else frozenset()))
        return owners

    def _fixed(self) -> dict[str, IpAddress]:
        """MAC -> the address that its host gets by DHCP."""
        found = {}
        for host_id, kept in list(self._kept.items()):
            view = self._of_host.get(host_id)
            address = next((address for address, key in kept.items() if key == addresses.PXE), None)
            if view is not None and address is not None:
                found.update(dict.fromkeys(view.macs, address))
        return found

    def look_again(self) -> None:
        """Take up a boot OS that was built, or an address that an interface got, since the last look."""
        self._registry.read_addresses()
        self._take()

    def site(self) -> SiteView:
        """The site as it is now."""
        return self._site

    def host_by_mac(self, mac: str) -> HostView | None:
        """The registered host that has this MAC, else the machine that a spec announces by it."""
        return self._by_mac.get(mac) or self._expected(mac, None)

    def host_by_uuid(self, uuid: str) -> HostView | None:
        """The registered host that has this system UUID, or whose serial it holds; else an announced one."""
        return self._of_uuid(uuid) or self._expected(None, uuid)

    def _of_uuid(self, uuid: str) -> HostView | None:
        known = self._by_uuid.get(uuid)
        if known is None and self._by_serial:
            held = self._by_serial.get((serial_in_uuid(uuid) or "").lower())
            known = replace(held, presumed=True) if held is not None else None
        return known

    def _expected(self, mac: str | None, uuid: str | None) -> HostView | None:
        name = self._announced.spec_of(mac, uuid) if self._announced is not None else None
        if name is None or name in self._bound:
            return None
        return HostView(host_id=f"spec {name}", name=name, due="boot-os", presumed=True)

    def sighting(self, request: BootRequest, outcome: str) -> None:
        """Note a boot request; within a second the first of each machine and kind of client counts."""
        key = (request.mac, f"{request.client}/{request.via}")
        with self._lock:
            if len(self._noted) < MAX_NOTED:
                self._noted.setdefault(key, (self._registry.now(), request, outcome))

    def flush(self) -> int:
        """Write what was noted first since the last time; how many requests those were."""
        with self._lock:
            keys = list(itertools.islice(self._noted, MAX_WRITTEN))
            noted = [self._noted.pop(key) for key in keys]
        servers = self._servers.due(self._registry.notes)
        if noted or servers:
            with self._registry.db.write() as session:
                self._write(session, noted)
                for server in servers:
                    self._servers.write(session, self._registry.now(), server)
        return len(noted)

    def _write(self, session: Session, noted: Iterable[tuple[datetime, BootRequest, str]]) -> None:
        lines, strangers, known = [], [], set()
        for at, request, outcome in noted:
            uuid = uuid_identity(request.uuid)
            host = self._by_mac.get(request.mac) or (self._of_uuid(uuid) if uuid is not None else None)
            if host is not None:
                known.add(request.mac)
                text = f"{request.client} request of {request.mac}: {outcome}"
                detail = {"arch": request.arch, "network": request.network}
                lines.append(timeline.Line(at, request.via, text, host.host_id, request.mac, detail))
            elif request.boots:
                arch = None if request.arch is None else str(request.arch)
                strangers.append(
                    sightings.Request(at, request.mac, request.uuid, arch, request.network, outcome)
                )
        sightings.forget(session, known)
        timeline.add_all(session, lines)
        if strangers:
            sightings.note(session, strangers)

    def _refresh(self, touched: Touched) -> None:
        ids = [host_id for host_id in touched if host_id.startswith("h-")]
        if not ids:
            return
        before = {host_id: self._claim(host_id) for host_id in ids}
        with self._registry.db.read() as session:
            found = {seen.view.host_id: seen for seen in host_views.read(session, ids)}
            for host_id in ids:
                self._drop(host_id)
                self._kept.pop(host_id, None)
                if host_id in found:
                    self._add(found[host_id])
        if any(self._claim(host_id) != claimed for host_id, claimed in before.items()):
            self._take()

    def _claim(self, host_id: str) -> tuple[dict[IpAddress, str], frozenset[str]] | None:
        """The addresses that a host keeps, and the MACs that may lease them; None when it keeps none."""
        kept, view = self._kept.get(host_id), self._of_host.get(host_id)
        return (kept, view.macs) if kept and view is not None else None

    def _add(self, seen: host_views.Seen) -> None:
        view = seen.view
        self._kept[view.host_id] = seen.kept
        if seen.spec is not None:
            self._spec_of[view.host_id] = seen.spec
            self._bound.add(seen.spec)
        if seen.serial is not None:
            self._serial_of[view.host_id] = seen.serial
            self._by_serial[seen.serial] = view
        self._of_host[view.host_id] = view
        self._by_mac.update(dict.fromkeys(view.macs, view))
        if view.uuid is not None:
            self._by_uuid[view.uuid] = view

    def _drop(self, host_id: str) -> None:
        old = self._of_host.pop(host_id, None)
        if old is None:
            return
        for mac in old.macs:
            if self._by_mac.get(mac) is old:
                del self._by_mac[mac]
        if old.uuid is not None and self._by_uuid.get(old.uuid) is old:
            del self._by_uuid[old.uuid]
        self._bound.discard(self._spec_of.pop(host_id, ""))
        self._by_serial.pop(self._serial_of.pop(host_id, ""), None)
