"""What REST and `why` say of networks: usage, leases in pages, silences, sightings, other DHCP servers."""

from ipaddress import IPv4Address
from typing import Any

import pytest

from pxe_edge.policy.leases import LeaseRow, LeaseState
from pxe_edge.policy.silences import SILENCES
from pxe_edge.registry import hosts
from pxe_edge.registry.lease_store import LeaseStore
from pxe_edge.registry.packet_view import PacketView
from pxe_edge.registry.site_tables import Dhcp6LeaseRow
from pxe_edge.servers.notes import Notes

MAC = "52:54:00:00:00:01"
SITE = """
kind: Site
metadata: {name: t1}
discovery: hold
networks:
  - {name: prov, purpose: provisioning, subnet: 10.77.1.0/24, interface: p0, gateway: 10.77.1.1, lease: 1h,
     pool: [10.77.1.50-10.77.1.59], exclude: [10.77.1.55],
     reservations: [{mac: "52:54:00:00:00:77", address: 10.77.1.58}]}
  - {name: six, purpose: provisioning, subnet: "fd00:77::/64", pool: ["fd00:77::1-fd00:77::ff"]}
  - {name: wide, purpose: os, subnet: 11.0.0.0/9, pool: [11.0.0.10-11.127.255.0]}
"""


@pytest.fixture
def noticed(site: Any) -> Any:
    site.registry.publish_files({"site.yaml": SITE}, author="test")
    site.registry.notes = Notes(lambda: float(site.clock.now.timestamp()))
    return site


def lease(site: Any, address: str, mac: str, state: LeaseState = "bound", expires_in: float = 3600) -> None:
    at = site.clock.now.timestamp() + expires_in
    LeaseStore(site.registry.db).commit([LeaseRow(int(IPv4Address(address)), mac, "prov", state, at)])


def _six(until: float) -> Dhcp6LeaseRow:
    return Dhcp6LeaseRow(
        address="fd00:77::5", mac="m", network="six", state="bound", expires_at=until,
        duid=b"d", iaid=7, interface_id=b"port 7", remote_id=b"",
    )  # fmt: skip


def test_the_usage_of_a_network_is_counted_whatever_its_size(noticed: Any) -> None:
    site = noticed
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json={"mac": MAC, "address": "10.77.1.50"})
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json={"serial": "S1", "address": "10.77.1.9"})
    lease(site, "10.77.1.50", MAC)
    lease(site, "10.77.1.51", "52:54:00:00:00:02")
    lease(site, "10.77.1.52", "52:54:00:00:00:03", "declined")
    lease(site, "10.77.1.53", "52:54:00:00:00:04", "released")

    lease(site, "10.77.1.54", "52:54:00:00:00:05", expires_in=-1)
    with site.registry.db.write() as session:
        session.add(_six(site.clock.now.timestamp() + 60))

    prov, six, wide = site.call("GET", "/v1/networks")["items"]

    assert prov["mode"] == "full"
    assert prov["usage"] == {"pool": 8, "used": 3, "free": 5, "reserved": 3, "leased": 2, "declined": 1}
    assert (six["usage"]["used"], six["usage"]["free"]) == (1, 254)
    told = {row["address"]: row for row in site.call("GET", "/v1/leases")["items"]}
    assert told.keys() == {"10.77.1.50", "10.77.1.51", "10.77.1.52", "10.77.1.53", "10.77.1.54", "fd00:77::5"}
    assert told["fd00:77::5"]["circuit_id"] == b"port 7".hex()
    assert [row["mac"] for row in site.call("GET", "/v1/leases?network=six")["items"]] == ["m"]
    assert wide["usage"]["free"] == 127 * 65536 + 255 * 256 + 1 - 10


def test_leases_come_in_pages_with_their_state_of_now(noticed: Any) -> None:
    site = noticed
    rows = [
        LeaseRow(
            int(IPv4Address("10.77.1.50")) + n, f"m{n}", "prov", "bound", site.clock.now.timestamp() + 60
        )
        for n in range(1500)
    ]
    LeaseStore(site.registry.db).commit(rows)
    first = site.call("GET", "/v1/leases")
    second = site.call("GET", "/v1/leases", params={"after": first["next"]})

    assert (len(first["items"]), len(second["items"]), second["next"]) == (1000, 500, None)
    assert len({item["address"] for item in first["items"] + second["items"]}) == 1500
    assert first["items"][0].keys() == {
        "address", "mac", "state", "network", "circuit_id", "remote_id", "expires",
    }  # fmt: skip
    assert site.call("GET", "/v1/leases", params={"network": "wide"})["items"] == []
    site.clock.forward(61)
    assert {item["state"] for item in site.call("GET", "/v1/leases")["items"]} == {"expired"}


@pytest.mark.parametrize("code", sorted(SILENCES))
def test_why_tells_each_silence_of_a_mac_in_one_sentence_with_one_next_step(noticed: Any, code: str) -> None:
    site = noticed
    detail = "interface=p0 giaddr=10.9.9.9"
    site.registry.notes.silent(MAC, code, kind="DISCOVER", network="prov", detail=detail)

    told = site.call("GET", f"/v1/why/{MAC}")

    assert (told["reason"], told["cause"]) == (code, "stranger-unanswered")
    assert told["sentence"].startswith(SILENCES[code].sentence.rstrip("."))
    where = "1 packet (prov, interface p0, giaddr 10.9.9.9)"
    assert told["sentence"].endswith(f"{where}, last at 12:00:00 UTC (0 s ago).")
    assert told["next"] == SILENCES[code].next_step.replace("MAC", MAC).replace("INTERFACE", "p0")
    (listed,) = site.call("GET", "/v1/silences")["items"]
    assert (listed["mac"], listed["reason"], listed["next"]) == (MAC, code, told["next"])


def test_why_of_a_host_tells_what_its_packets_met(noticed: Any) -> None:
    site = noticed
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json={"name": "web-01", "mac": MAC})
    site.clock.forward(60)
    assert site.call("GET", "/v1/why/web-01")["cause"] == "boot-os-missing"
    site.registry.notes.silent(MAC, "offers-not-requested", kind="DISCOVER", detail="server=10.77.1.3")

    told = site.call("GET", "/v1/why/web-01")

    assert told["cause"] == "no-dhcp-answer"
    assert "two offers and requested none" in told["sentence"]
    assert "server 10.77.1.3" in told["sentence"]
    assert "rackflow doctor" in told["next"]


def test_why_of_a_mac_tells_its_silence_although_a_host_has_it(noticed: Any) -> None:
    site = noticed
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json={"name": "web-01", "mac": MAC})
    with site.registry.db.write() as session:
        hosts.get(session, "web-01").phase = "active"
    site.registry.notes.silent(MAC, "unknown-relay", kind="DISCOVER", detail="giaddr=10.9.9.9")

    told = site.call("GET", f"/v1/why/{MAC}")

    assert (told["host"], told["cause"]) == ("web-01", "packets-unanswered")
    assert "giaddr 10.9.9.9" in told["sentence"]
    site.clock.forward(1000)
    assert site.call("GET", f"/v1/why/{MAC}")["cause"] == "spec-missing"


def test_a_held_stranger_may_be_a_host_that_is_awaited_by_its_serial(noticed: Any) -> None:
    site = noticed
    site.call("POST", "/v1/hosts", scope="admin", expect=201, json={"name": "web-07", "serial": "SN-7"})
    site.registry.notes.silent(MAC, "awaiting-approval", kind="DISCOVER")

    told = site.call("GET", f"/v1/why/{MAC}")

    assert told["cause"] == "stranger-perhaps-awaited"
    assert "web-07 is known by its serial alone" in told["sentence"]
    assert told["next"].startswith(f"If it is: rackflow host approve {MAC} --as web-07;")
    built = site.registry.data / "boot" / "bootos" / "current.json"
    built.parent.mkdir(parents=True)
    built.write_text('{"kernel": "k", "initrds": ["i"]}')
    site.clock.forward(60)
    assert site.call("GET", "/v1/why/web-07")["cause"] == "known-by-serial"


def test_another_dhcp_server_is_a_site_event_and_is_told_by_why(noticed: Any) -> None:
    site, other = noticed, "52:54:00:00:00:99"
    view = PacketView(site.registry)
    where: dict[str, Any] = {"interface": "p0", "network": "prov", "seen_as": "OFFER"}
    for expected, address in ((False, "10.77.1.3"), (True, "10.77.1.4")):
        site.registry.notes.foreign(address, mac=other, expected=expected, **where)
    view.flush()
    site.registry.notes.foreign("10.77.1.3", mac=other, expected=False, **where)
    view.flush()

    events = [one for one in site.call("GET", "/v1/events")["items"] if one["kind"] == "dhcp-server"]
    assert [(one["text"], one["detail"]["mac"]) for one in events] == [
        ("10.77.1.3 answers DHCP on prov (p0) and is not ours: seen 1 times", other)
    ]
    listed = site.call("GET", "/v1/dhcp-servers")["items"]
    assert [one["address"] for one in listed] == ["10.77.1.3", "10.77.1.4"]
    prov = site.call("GET", "/v1/networks")["items"][0]
    assert [one["address"] for one in prov["dhcp_servers"]] == ["10.77.1.3", "10.77.1.4"]
    told = site.call("GET", "/v1/why/10.77.1.3")
    assert told["cause"] == "foreign-server"
    assert told["sentence"].startswith(
        "10.77.1.3 (52:54:00:00:00:99) is a DHCP server on prov (p0) that is not"
    )
    assert site.call("GET", f"/v1/why/{other}")["cause"] == "foreign-server"
    assert site.call("GET", "/v1/why/10.77.1.4")["cause"] == "server-beside"
    site.clock.forward(3601)
    site.registry.notes.foreign("10.77.1.3", mac=other, expected=False, **where)
    view.flush()
    events = [one for one in site.call("GET", "/v1/events")["items"] if one["kind"] == "dhcp-server"]
    assert len(events) == 2
    site.call("GET", "/v1/why/10.77.1.99", expect=404)


def test_snippets_are_printed_with_what_to_know_before_they_are_used(noticed: Any) -> None:
    site = noticed
    path = "/v1/site/snippets"
    found = site.call("GET", f"{path}/dnsmasq", params={"edge": "10.77.1.2"})
    assert "dhcp-range=set:prov,10.77.1.50,10.77.1.54," in found["text"]
    assert found["notes"] == ["prov is in mode full: publish it with mode: off before this server starts"]
    lines = site.call(
        "GET", f"{path}/relay", params={"edge": "10.77.1.2", "network": "prov", "vendor": "eos"}
    )
    assert "ip helper-address 10.77.1.2" in lines["text"]
    assert lines["notes"] == ["the Site gives no vlan for prov: write it in place of <VLAN>"]
    for kind, params, said in (
        ("kea", {}, "has no address on prov"),
        ("relay", {"edge": "10.77.1.2"}, "none needs a relay"),
        ("relay", {"edge": "10.77.1.2", "network": "prov", "vendor": "x"}, "no relay lines for x"),
    ):
        refused = site.call("GET", f"{path}/{kind}", params=params, expect=422)
        assert (refused["code"], said in refused["detail"], bool(refused["hint"])) == ("snippet", True, True)
