"""Which registered host a boot request is from: by UUID and by MAC, and never by guess between two."""

from pxe_edge.policy.boot import Silence
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import HostView
from pxe_edge.servers.ports import View
from specs.identity import uuid_identity


def find_host(view: View, request: BootRequest) -> HostView | Silence | None:
    """The host, None for a stranger, Silence when UUID and MAC are two different hosts'."""
    by_mac = view.host_by_mac(request.mac)
    uuid = uuid_identity(request.uuid)
    by_uuid = view.host_by_uuid(uuid) if uuid is not None else None
    if by_mac is not None and by_uuid is not None and by_mac.host_id != by_uuid.host_id:
        return Silence("identity-conflict")
    return by_mac or by_uuid
