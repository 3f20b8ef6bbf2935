"""Which registered host a boot request is from: by UUID and by MAC, and never by guess between two."""

from pxe_edge.policy.boot import Silence
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import HostView
from pxe_edge.servers.ports import View
from specs.identity import uuid_identity


def find_host(view: View, request: BootRequest) -> HostView | Silence | None:
    """The host, None for a stranger, Silence when UUID and MAC are two different hosts'."""
    by_mac = view.host_by_mac(request.mac)
    # What came by DHCP was written by us; whether it is an identity at all is asked when it leads somewhere.
    uuid = request.uuid if request.via == "dhcp" else uuid_identity(request.uuid)
    by_uuid = view.host_by_uuid(uuid) if uuid is not None else None
    if by_uuid is not None and uuid_identity(uuid) is None:
        by_uuid = None
    if by_uuid is None:
        return by_mac
    found = [host for host in (by_mac, by_uuid) if host is not None]
    sure = [host for host in found if not host.presumed] or found
    if len({host.host_id for host in sure}) > 1:
        return Silence("identity-conflict")
    return sure[0] if sure else None
