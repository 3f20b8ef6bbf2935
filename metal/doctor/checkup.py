"""All checks of a site, in the order in which they are shown."""

from collections.abc import Iterator, Sequence
from functools import partial

from metal.doctor import bmc, certificates, clock, dhcp, images, networks, ports, prefect
from metal.doctor.boot_files import boot_checks
from metal.doctor.findings import GROUPS, Check, Finding, failed, ok, skipped
from metal.doctor.surroundings import Surroundings, edge_state


def checks(
    around: Surroundings, *, listen_s: float, deep: bool = False, only: Sequence[str] = ()
) -> list[Check]:
    """The checks that were asked for; all by default."""
    every = sorted(_every(around, listen_s, deep=deep), key=lambda check: GROUPS.index(check.group))
    return [check for check in every if not only or check.group in only]


def _every(around: Surroundings, listen_s: float, *, deep: bool) -> Iterator[Check]:
    yield Check("edge", "edge", lambda: [check_edge(around)])
    yield Check("tls", "certificates", partial(certificates.check_certificates, around))
    yield Check("clock", "clocks", partial(clock.check_clock, around))
    yield Check("ports", "ports", partial(ports.check_ports, around))
    yield Check("rights", "rights", partial(ports.check_rights, around))
    yield Check("networks", "interfaces", partial(networks.check_interfaces, around))
    yield Check("routes", "routes", partial(networks.check_routes, around))
    yield from _dhcp(around, listen_s)
    yield from boot_checks(around)
    yield Check("path", "path MTU", partial(networks.check_path, around), timeout_s=60.0)
    yield Check("prefect", "Prefect", partial(prefect.check_prefect, around))
    yield from images.image_checks(around, deep=deep)
    yield Check("bmc", "BMCs", partial(bmc.check_bmcs, around), timeout_s=120.0)


def _dhcp(around: Surroundings, listen_s: float) -> Iterator[Check]:
    served = [n for n in around.networks if n.purpose == "provisioning" or n.interface]
    for network in served:
        run = partial(dhcp.check_network, around, network, listen_s)
        yield Check("dhcp", f"DHCP on {network.name}", run, timeout_s=3 * listen_s + 20.0)
    if not served:
        yield Check(
            "dhcp", "DHCP", lambda: [skipped("DHCP", "the site is not known, or has no such network")]
        )


def check_edge(around: Surroundings) -> Finding:
    """Whether the edge answers and has a current set."""
    said, fix = edge_state(around)
    if said:
        return failed("edge", said, fix)
    if around.edge is None or around.edge.specset is None or around.site is None:
        return failed(
            "edge", "it runs, but no spec set is current: it answers no machine", "rackflow spec publish"
        )
    where = "this machine" if around.on_edge_host else around.address.url
    return ok("edge", f"site {around.site.metadata.name} on {where}, set {around.edge.specset[:12]}")
