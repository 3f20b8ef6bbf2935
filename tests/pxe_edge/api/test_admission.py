"""Who is let in: by policy, by registration ahead, by a spec's match, by approval; and who stays outside."""

from ipaddress import IPv4Address, IPv4Interface
from typing import Any
from uuid import UUID

import pytest

from pxe_edge.policy.boot import Silence
from pxe_edge.policy.dhcp import Reply, answer
from pxe_edge.policy.leases import LeaseTable
from pxe_edge.policy.networks import Arrival, Link, serve_site
from pxe_edge.policy.requests import read_boot_request
from pxe_edge.registry.packet_view import PacketView
from pxe_edge.registry.tables import BindingRow
from pxe_edge.servers.dhcp import describe
from pxe_edge.servers.hosts import find_host
from pxe_edge.wire import dhcp
from pxe_edge.wire.options import dotted

OURS, OTHER = "52:54:00:00:00:01", "52:54:00:00:00:02"
DELL = "4c4c4544-0059-4210-8056-b2c04f584b33"
DELL_TAG = "2YBVXK3"
PEER = IPv4Address("10.77.1.50")
SITE = """
kind: Site
metadata: {{name: t1}}
discovery: {discovery}
networks:
  - {{name: prov, purpose: provisioning, subnet: 10.77.1.0/24, interface: p0, gateway: 10.77.1.1,
      pool: [10.77.1.50-10.77.1.99], reservations: [{{mac: "52:54:00:00:00:77", address: 10.77.1.30}}]}}
  - {{name: far, purpose: provisioning, subnet: 10.77.2.0/24, mode: proxy}}
"""
LINK = Link("p0", 2, (IPv4Interface("10.77.1.1/24"),))


class Rack:
    """Machines before one edge: what a DISCOVER gets, and what a booted one reports."""

    def __init__(self, site: Any, *, discovery: str, specs: str = "") -> None:
        files = {"site.yaml": SITE.format(discovery=discovery), **({"h.yaml": specs} if specs else {})}
        site.registry.publish_files(files, author="test")
        (site.registry.data / "boot").mkdir()
        (site.registry.data / "boot" / "snponly.efi").write_bytes(b"loader")
        self.site, self.view, self.table = site, PacketView(site.registry), LeaseTable()

    def discover(self, mac: str, uuid: str | None = None) -> str:
        """The address and boot file that a UEFI machine is offered, or the reason of the silence."""
        options = {53: bytes((dhcp.DISCOVER,)), 60: b"PXEClient:Arch:00007", 93: b"\0\7"}
        if uuid is not None:
            options[97] = b"\0" + UUID(uuid).bytes_le
        packet = dhcp.Packet(op=1, xid=1, chaddr=bytes.fromhex(mac.replace(":", "")), options=options)
        request = read_boot_request(packet)
        host = find_host(self.view, request)
        if isinstance(host, Silence):
            return host.reason
        arrival = Arrival(LINK, "0.0.0.0", 68)
        outcome = answer(packet, arrival, request, host, serve_site(self.view.site()), self.table, 0.0)
        self.view.sighting(request, describe(outcome))
        self.view.flush()
        for row in outcome.rows:
            self.table.put(row)
        if not isinstance(outcome, Reply):
            return outcome.reason
        return f"{dotted(outcome.yiaddr)} {outcome.packet.file.decode()}".strip()

    def boots_and_reports(self, mac: str, **identities: str) -> tuple[int, str | None]:
        number, token = self.site.boot(mac, identities.get("uuid"))
        told = {"mac": mac, "uuid": "", "serial": "", **identities}
        answered: tuple[int, str | None] = self.site.report_in(token, number, **told)
        return answered

    def add(self, expect: int = 201, **body: Any) -> Any:
        return self.site.call("POST", "/v1/hosts", scope="admin", expect=expect, json=body)

    def approve(self, expect: int = 200, **body: Any) -> Any:
        return self.site.call("POST", "/v1/hosts/approve", scope="admin", expect=expect, json=body)

    def why(self, what: str) -> Any:
        return self.site.call("GET", f"/v1/why/{what}")

    def names(self) -> list[str]:
        return [host["name"] for host in self.site.call("GET", "/v1/hosts")["items"]]


def test_of_two_machines_under_off_the_added_one_is_registered_and_the_other_stays_silent(site: Any) -> None:
    rack = Rack(site, discovery="off")
    rack.add(name="web-01", mac=OURS)

    assert rack.discover(OURS) == "10.77.1.50 snponly.efi"
    assert rack.discover(OTHER) == "discovery-off"
    assert rack.boots_and_reports(OURS, serial="S1") == (204, None)
    assert rack.names() == ["web-01"]
    assert site.host("web-01")["serial"] == "S1"
    assert site.desk.boot_begin(OTHER, None, 7, PEER) is None
    told = rack.why(OTHER)
    assert (told["reason"], told["host"]) == ("discovery-off", None)
    assert "answers no unknown machines" in told["sentence"]
    assert [row["mac"] for row in site.call("GET", "/v1/sightings")["items"]] == [OTHER]


@pytest.mark.parametrize("discovery", ["off", "hold"])
@pytest.mark.parametrize(
    ("match", "uuid"),
    [(f'mac: "{OURS}"', None), (f"uuid: {DELL}", DELL), (f"serial: {DELL_TAG.lower()}", DELL)],
)
def test_a_spec_lets_its_machine_in_whatever_the_policy(
    site: Any, discovery: str, match: str, uuid: str | None
) -> None:
    rack = Rack(
        site, discovery=discovery, specs=f"kind: Host\nmetadata: {{name: web-01}}\nmatch: {{{match}}}\n"
    )

    assert rack.discover(OURS, uuid) == "10.77.1.50 snponly.efi"
    assert rack.discover(OTHER) == {"off": "discovery-off", "hold": "awaiting-approval"}[discovery]
    serial = {"serial": DELL_TAG, "uuid": DELL} if uuid else {}
    assert rack.boots_and_reports(OURS, **serial) == (204, None)
    assert [(host["name"], host["spec"]) for host in site.call("GET", "/v1/hosts")["items"]] == [
        ("web-01", "web-01")
    ]


def test_a_spec_that_has_its_machine_announces_no_second_one(site: Any) -> None:
    specs = f'kind: Host\nmetadata: {{name: web-01}}\nmatch: {{mac: "{OURS}"}}\n'
    rack = Rack(site, discovery="off", specs=specs)
    assert rack.boots_and_reports(OURS, uuid=DELL) == (204, None)
    site.call("DELETE", "/v1/hosts/web-01", scope="admin", expect=204)
    assert rack.discover(OURS) == "10.77.1.50 snponly.efi"  # still announced: no host has it

    rack.add(name="other", mac=OTHER)
    with site.registry.db.write() as session:
        host_id = site.host("other")["id"]
        session.add(BindingRow(spec="web-01", host_id=host_id, bound_at=site.clock.now))
    assert rack.discover(OURS) == "discovery-off"


def test_a_machine_known_by_serial_is_recognised_only_where_its_uuid_holds_the_serial(site: Any) -> None:
    rack = Rack(site, discovery="off")
    rack.add(name="dell", serial=DELL_TAG.lower())
    rack.add(name="other", serial="SN-7")

    assert rack.discover(OURS, DELL) == "10.77.1.50 snponly.efi"
    assert rack.boots_and_reports(OURS, uuid=DELL, serial=DELL_TAG) == (204, None)
    assert (site.host("dell")["uuid"], site.host("dell")["macs"]) == (DELL, [OURS])

    assert rack.discover(OTHER, "00112233-4455-6677-8899-aabbccddeeff") == "discovery-off"


def test_an_approved_mac_that_reports_an_awaited_serial_becomes_that_host(site: Any) -> None:
    rack = Rack(site, discovery="hold")
    awaited = rack.add(name="web-07", serial="SN-7")
    assert rack.discover(OURS) == "awaiting-approval"
    rack.approve(what=OURS)
    assert rack.discover(OURS) == "10.77.1.50 snponly.efi"

    assert rack.boots_and_reports(OURS, serial="sn-7", uuid=DELL) == (204, None)

    assert rack.names() == ["web-07"]
    host = site.host("web-07")
    assert (host["id"], host["macs"], host["last_job"]) == (awaited["id"], [OURS], 1)
    texts = [entry["text"] for entry in rack.why("web-07")["timeline"]]
    assert any("approved as mac-525400000001, is web-07" in text for text in texts)


def test_hosts_that_are_more_than_announced_are_never_joined(site: Any) -> None:
    rack = Rack(site, discovery="register")
    assert rack.boots_and_reports(OURS, serial="SN-1") == (204, None)
    rack.add(name="web-07", serial="SN-7")
    site.deliver()

    assert rack.boots_and_reports(OURS, serial="SN-7") == (409, "identity-conflict")
    assert rack.names() == ["mac-525400000001", "web-07"]


def test_approving_says_which_host_a_mac_is(site: Any) -> None:
    rack = Rack(site, discovery="off")
    rack.add(name="web-07", serial="SN-7")
    assert rack.discover(OURS) == "discovery-off"

    assert rack.approve(what=OURS, host="web-07")["macs"] == [OURS]
    assert rack.approve(what=OTHER, host="web-08")["name"] == "web-08"
    assert rack.discover(OURS) == "10.77.1.50 snponly.efi"
    assert rack.names() == ["web-07", "web-08"]
    assert site.call("GET", "/v1/sightings")["items"] == []
    assert rack.approve(what=OURS, host="web-08", expect=409)["code"] == "identity-conflict"
    rack.approve(what="web-07", host="web-08", expect=422)


def test_a_host_without_a_name_gets_one(site: Any) -> None:
    rack = Rack(site, discovery="off")

    assert rack.add(mac=OURS)["name"] == "mac-525400000001"
    assert rack.add(serial="7CT2XZ2")["name"] == "serial-7ct2xz2"
    assert rack.add(uuid=DELL)["name"] == f"uuid-{DELL}"
    rack.add(expect=422)


def test_a_network_of_reservations_serves_a_host_that_its_uuid_names(site: Any) -> None:
    rack = Rack(site, discovery="off")
    text = SITE.format(discovery="off").replace(
        "gateway: 10.77.1.1,", "gateway: 10.77.1.1, mode: reservations,"
    )
    site.registry.publish_files({"site.yaml": text}, author="test")
    rack.add(name="c", uuid=DELL, address="10.77.1.22")

    assert rack.discover(OURS, DELL) == "10.77.1.22 snponly.efi"
    assert rack.discover(OTHER) == "no-reservation"


def test_a_fixed_address_is_what_the_machine_gets_and_nobody_else(site: Any) -> None:
    rack = Rack(site, discovery="register")
    assert rack.add(name="a", mac=OURS, address="10.77.1.50")["fixed_address"] == "10.77.1.50"

    assert rack.discover(OTHER) == "10.77.1.51 snponly.efi"
    assert rack.discover(OURS) == "10.77.1.50 snponly.efi"
    rack.add(name="c", uuid=DELL, address="10.77.1.22")
    assert rack.discover("52:54:00:00:00:0c", DELL) == "10.77.1.22 snponly.efi"  # its MAC was never seen
    assert rack.discover("52:54:00:00:00:0d", DELL) != "10.77.1.22 snponly.efi"  # nor twice at once
    assert rack.add(name="b", serial="SN-9", address="10.77.1.21")["fixed_address"] == "10.77.1.21"
    assert rack.boots_and_reports("52:54:00:00:00:09", serial="SN-9") == (204, None)
    assert rack.discover("52:54:00:00:00:09") == "10.77.1.21 snponly.efi"


TAKEN = [
    ("10.77.1.50", 409, "kept for a"),
    ("10.77.1.1", 409, "the gateway"),
    ("10.77.1.255", 409, "the broadcast address"),
    ("10.77.1.30", 409, "reserved for 52:54:00:00:00:77"),
    ("10.77.1.40", 409, "named by the spec of web-01"),
    ("10.77.9.9", 422, "lies in no provisioning network: prov 10.77.1.0/24, far 10.77.2.0/24"),
    ("10.77.2.9", 422, "far is in mode proxy"),
]


@pytest.mark.parametrize(("address", "status", "said"), TAKEN, ids=[case[0] for case in TAKEN])
def test_a_fixed_address_is_refused_when_it_is_taken(site: Any, address: str, status: int, said: str) -> None:
    specs = (
        "kind: Host\nmetadata: {name: web-01}\nmatch: {serial: X1}\n"
        "network: {ethernets: {n0: {addresses: [10.77.1.40/24]}}}\n"
    )
    rack = Rack(site, discovery="off", specs=specs)
    rack.add(name="a", mac=OURS, address="10.77.1.50")

    refused = rack.add(expect=status, name="b", mac=OTHER, address=address)

    assert said in refused["detail"]
    assert rack.names() == ["a"]


def test_the_spec_of_a_host_may_name_the_address_that_it_gets_by_dhcp(site: Any) -> None:
    specs = (
        f'kind: Host\nmetadata: {{name: web-01}}\nmatch: {{mac: "{OURS}"}}\n'
        "network: {ethernets: {n0: {addresses: [10.77.1.40/24]}}}\n"
    )
    rack = Rack(site, discovery="off", specs=specs)

    host = rack.add(name="web-01", mac=OURS, address="10.77.1.40")

    assert (host["spec"], host["fixed_address"]) == ("web-01", "10.77.1.40")
    assert rack.discover(OURS) == "10.77.1.40 snponly.efi"
