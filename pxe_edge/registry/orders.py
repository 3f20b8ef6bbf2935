"""Work orders: all that a run needs to plan one host, resolved, so that planning only reads."""

import base64

from sqlalchemy.orm import Session

from pxe_edge.registry import addresses, binding, credentials, images
from pxe_edge.registry.host_texts import with_member
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.specsets import Current
from pxe_edge.registry.tables import HostRow
from specs.model import Host
from specs.records import ImageRecord, WorkOrder


def text(session: Session, registry: Registry, host: HostRow) -> str:
    """The order of a host as JSON, with its observation."""
    known = order(session, registry, host).model_dump_json(by_alias=True, exclude={"host"})
    return with_member(known, "host", registry.host_text(session, host))


def order(session: Session, registry: Registry, host: HostRow) -> WorkOrder:
    """The order of a host under the current set; keeps the BMC's address if it has none yet.

    Without its observation, which `text` puts in.
    """
    current = registry.current
    base = WorkOrder(
        host=registry.host_record(session, host),
        secrets=credentials.secret_versions(session),
        management_key=registry.management_public,
        phone_home_url=f"{registry.boot_url}/v1/phone-home",
    )
    if current is None:
        return base
    spec = current.spec(binding.spec_name(session, host.id))
    addresses.keep_bmc(session, registry.now(), host, spec, current)
    kept = addresses.kept(session, host.id)
    network = addresses.bmc_network(current.site)
    return base.model_copy(
        update={
            "spec": spec,
            "specset": current.id,
            "addresses": {key: addresses.with_prefix(row, spec, current.site) for key, row in kept.items()},
            "bmc_user": (spec.bmc.user if spec else None) or current.site.bmc.user,
            "bmc_netmask": str(network.subnet.netmask) if network else None,
            "bmc_gateway": str(network.gateway) if network and network.gateway else None,
            "image": _image(session, registry, current, spec.image) if spec and spec.image else None,
            "file_sources": _sources(spec, dict(current.specs.files)) if spec else {},
            "discovery": current.site.discovery,
        }
    )


def _sources(spec: Host, files: dict[str, bytes]) -> dict[str, str]:
    wanted = [f.source for f in spec.files if f.source is not None]
    return {path: base64.b64encode(files[path]).decode() for path in wanted if path in files}


def _image(session: Session, registry: Registry, current: Current, name: str) -> ImageRecord | None:
    """The stored image; none when it is not the one that the Image document names by digest."""
    record = images.ready_record(session, registry.boot_url, name)
    declared = current.specs.images.get(name)
    if record is not None and declared is not None and declared.digest not in (None, record.digest):
        return None
    return record
