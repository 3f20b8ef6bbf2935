"""Boots as the boot plane asks for them: begin one, hand out its seed, take what the machine says.

Seeds live in memory only, because they hold the boot's token in clear and die with the boot: an edge
that restarts in that half minute lets the machine boot once more.
"""

import secrets
import threading
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.orm import Session

from pxe_edge.discovery.seed import Seed, seed_cpio
from pxe_edge.jobs.due import boot_os_due
from pxe_edge.policy.seeds import SEED_S, SeedTicket, finish_transfer, start_transfer
from pxe_edge.policy.views import BootPlan
from pxe_edge.registry import binding, boots, hosts, jobs, leases
from pxe_edge.registry.errors import RegistryError
from pxe_edge.registry.interfaces import url_host
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.specsets import Current
from pxe_edge.servers.ports import Problem
from specs.facts import ReportIn
from specs.identity import uuid_identity

MAX_SEEDS = 4096
_LINE = 512


class PhoneHome(BaseModel):
    """A deployed system's first word: hostile input with a closed shape."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(max_length=_LINE)
    boot_id: str = Field(max_length=_LINE)
    ssh_host_key: str = Field(max_length=_LINE)


class BootDesk:
    """`pxe_edge.servers.ports.Boot` over the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._lock = threading.Lock()
        self._seeds: dict[str, tuple[SeedTicket, bytes]] = {}

    def boot_begin(
        self, mac: str, uuid: str | None, arch: int | None, address: IPv4Address | IPv6Address
    ) -> BootPlan | None:
        """Begin a boot if one is due: a number, a token, and a seed under a nonce for this address."""
        del arch
        registry = self._registry
        current = registry.current
        if current is None:
            return None
        now = registry.now()
        with registry.db.write() as session:
            host = hosts.of_machine(session, mac, uuid_identity(uuid))
            if host is None and not _let_in(session, current, mac, uuid_identity(uuid)):
                return None
            if host is not None and not boot_os_due(jobs.boot_state(session, host)):
                return None
            network = next((n.name for n in current.site.networks if address in n.subnet), None)
            boot = boots.begin(session, now, mac=mac, host=host, network=network)
            epoch = leases.read(session, host.id).epoch if host else 0
        server = registry.addresses.get(network or "")
        base = f"http://{url_host(server)}:{registry.ports.boot}" if server else registry.boot_url
        seed = Seed(
            boot_no=boot.no,
            token=boot.token,
            report_in=f"{base}/v1/report-in",
            authorized_key=registry.management_public,
            time_s=int(now.timestamp()),
            epoch_floor=epoch,
        )
        nonce = secrets.token_hex(16)
        self._keep(SeedTicket(nonce, address, now.timestamp() + SEED_S), seed_cpio(seed))
        return BootPlan(boot.no, f"/seed/{nonce}")

    def _keep(self, ticket: SeedTicket, data: bytes) -> None:
        now = self._registry.now().timestamp()
        with self._lock:
            self._seeds = {n: kept for n, kept in self._seeds.items() if kept[0].expires_at > now}
            while len(self._seeds) >= MAX_SEEDS:
                self._seeds.pop(next(iter(self._seeds)))
            self._seeds[ticket.nonce] = (ticket, data)

    def seed(self, nonce: str, peer: IPv4Address | IPv6Address, *, peek: bool) -> bytes | None:
        """The seed's bytes as long as its ticket allows."""
        with self._lock:
            kept = self._seeds.get(nonce)
            if kept is None:
                return None
            ticket = start_transfer(kept[0], peer, self._registry.now().timestamp())
            if not isinstance(ticket, SeedTicket):
                return None
            if not peek:
                self._seeds[nonce] = (ticket, kept[1])
            return kept[1]

    def seed_done(self, nonce: str) -> None:
        """One transfer was whole."""
        with self._lock:
            if (kept := self._seeds.get(nonce)) is not None:
                self._seeds[nonce] = (finish_transfer(kept[0]), b"")

    def report_in(
        self, token: str, body: Mapping[str, Any], peer: IPv4Address | IPv6Address
    ) -> tuple[int, Problem | None]:
        """Take a report-in; a refusal of a good token is stored and shown."""
        registry = self._registry
        try:
            report = ReportIn.model_validate(body)
            with registry.db.write() as session:
                boots.report_in(
                    session,
                    registry.now(),
                    token=token,
                    report=report,
                    peer=str(peer),
                    current=registry.current,
                )
        except ValidationError as error:
            return 422, _malformed(error)
        except boots.RefusedReportError as error:
            with registry.db.write() as session:
                boots.refuse(session, registry.now(), error)
            return error.status, _problem(error)
        except RegistryError as error:
            return error.status, _problem(error)
        return 204, None

    def phone_home(
        self, token: str, body: Mapping[str, Any], peer: IPv4Address | IPv6Address
    ) -> tuple[int, Problem | None]:
        """Take a phone-home; a foreign host key is refused and shown."""
        registry = self._registry
        try:
            said = PhoneHome.model_validate(body).model_dump()
            with registry.db.write() as session:
                boots.phone_home(session, registry.now(), token=token, body=said, peer=str(peer))
        except ValidationError as error:
            return 422, _malformed(error)
        except boots.HostKeyError as error:
            with registry.db.write() as session:
                boots.refuse_key(session, registry.now(), error)
            return error.status, _problem(error)
        except RegistryError as error:
            return error.status, _problem(error)
        return 204, None


def _let_in(session: Session, current: Current, mac: str, uuid: str | None) -> bool:
    """Whether a machine that is no host may boot: by the site's policy, or because a spec announces it."""
    if current.site.discovery in ("inspect", "register"):
        return True
    spec = current.announced.spec_of(mac, uuid)
    return spec is not None and spec not in binding.bindings(session)


def _problem(error: RegistryError) -> Problem:
    return Problem(error.code, error.detail, error.hint or "", error.host)


def _malformed(error: ValidationError) -> Problem:
    fields = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:5])
    return Problem(
        "bad-report", fields[:_LINE], "the fields are those of the boot plane in docs/openapi.json"
    )
