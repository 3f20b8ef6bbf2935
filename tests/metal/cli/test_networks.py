"""Networks, leases, sightings, registration and snippets, as a person and a program read them."""

import pytest

from specs.records import HostRecord
from tests.metal.cli.conftest import FakeEdge, Rackflow

MAC = "52:ab:00:00:00:01"
LEASE = {
    "address": "10.77.1.9", "mac": MAC, "state": "bound", "network": "prov",
    "circuit_id": b"Eth1/1".hex(), "remote_id": None, "expires": "2026-11-25T13:00:00+00:00",
}  # fmt: skip


def test_leases_come_from_all_pages_in_the_order_of_addresses(edge: FakeEdge, rackflow: Rackflow) -> None:
    other = LEASE | {"address": "10.77.1.10", "circuit_id": "00ff"}
    edge.answers["GET /v1/leases"] = (200, {"items": [other], "next": "10.77.1.10"})
    edge.then["GET /v1/leases"] = (200, {"items": [LEASE], "next": None})

    said = rackflow("leases", "--json")

    assert said.json == [LEASE, other]
    lines = rackflow("leases").out.splitlines()
    assert lines[0].split("\t") == ["address", "mac", "state", "network", "port", "expires"]
    assert lines[1].split("\t")[:5] == ["10.77.1.9", MAC, "bound", "prov", "Eth1/1"]


def test_networks_show_what_is_free_and_who_else_gives_addresses(edge: FakeEdge, rackflow: Rackflow) -> None:
    usage = {"pool": 50, "used": 3, "free": 47, "reserved": 2}
    network = {"name": "prov", "purpose": "provisioning", "subnet": "10.77.1.0/24", "mode": "full"}
    network |= {"server_address": "10.77.1.1", "usage": usage, "dhcp_servers": [{"address": "10.77.1.3"}]}
    edge.answers["GET /v1/networks"] = (200, {"items": [network]})

    row = rackflow("networks").out.splitlines()[1].split("\t")

    assert row == [
        "prov",
        "provisioning",
        "10.77.1.0/24",
        "full",
        "10.77.1.1",
        "50",
        "3",
        "47",
        "2",
        "10.77.1.3",
    ]
    assert rackflow("networks", "--json").json == [network]


@pytest.mark.parametrize(
    ("reason", "step"),
    [("awaiting-approval", "rackflow host approve"), ("pool-exhausted", "rackflow why")],
)
def test_sightings_name_the_command_that_goes_on(
    edge: FakeEdge, rackflow: Rackflow, reason: str, step: str
) -> None:
    seen = {
        "mac": MAC,
        "network": "prov",
        "count": 3,
        "last_at": "2026-11-25T12:00:00+00:00",
        "reason": reason,
    }
    edge.answers["GET /v1/sightings"] = (200, {"items": [seen]})

    assert rackflow("sightings").out.splitlines()[1].split("\t") == [
        MAC, "prov", "3", "2026-11-25T12:00:00", reason, f"{step} {MAC}",
    ]  # fmt: skip


def test_a_host_is_registered_with_or_without_a_name(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord
) -> None:
    edge.answers["POST /v1/hosts"] = (201, host.model_dump(mode="json"))

    assert rackflow("host", "add", "--serial", "SN-7").code == 0
    assert "no serial" in rackflow("host", "add", "a", "--serial", "SN-7").err
    assert rackflow("host", "add", "a", "--mac", MAC, "--address", "10.77.1.20").code == 0
    assert rackflow("host", "add", "a").code == 2

    first, _, third = edge.sent("POST /v1/hosts")
    assert (first["name"], first["serial"]) == (None, "SN-7")
    assert (third["name"], third["mac"], third["address"]) == ("a", MAC, "10.77.1.20")


def test_a_host_is_approved_under_a_name_and_forgotten(
    edge: FakeEdge, rackflow: Rackflow, host: HostRecord
) -> None:
    edge.answers["POST /v1/hosts/approve"] = (200, host.model_dump(mode="json"))
    edge.answers["DELETE /v1/hosts/web-01"] = (204, None)

    assert rackflow("host", "approve", MAC, "--as", "web-01").code == 0
    assert rackflow("host", "rm", "web-01").code == 0
    assert edge.sent("POST /v1/hosts/approve") == [{"what": MAC, "host": "web-01"}]


@pytest.mark.parametrize("kind", ["dnsmasq", "kea", "isc", "relay"])
def test_a_snippet_is_printed_as_it_is_and_its_notes_beside_it(
    edge: FakeEdge, rackflow: Rackflow, kind: str
) -> None:
    text = f"# [bold]\nhost {MAC} :smile: {{ }}\n"
    edge.answers[f"GET /v1/site/snippets/{kind}"] = (
        200,
        {"kind": kind, "text": text, "notes": ["mode is full"]},
    )

    said = rackflow("site", "snippet", kind)

    assert (said.code, said.out) == (0, text)
    assert "note: mode is full" in said.err


def test_no_mac_turns_into_a_picture(edge: FakeEdge, rackflow: Rackflow) -> None:
    answer = {"host": None, "sentence": f"It is {MAC}.", "next": "Nothing", "timeline": []}
    edge.answers[f"GET /v1/why/{MAC}"] = (200, answer)

    assert f"It is {MAC}." in rackflow("why", MAC).out
