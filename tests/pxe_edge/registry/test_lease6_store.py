"""IPv6 leases in the registry: durable, unique, shown; and the server's identifier."""

from dataclasses import replace
from ipaddress import IPv6Address

import pytest

from pxe_edge.policy.dhcp6_leases import Lease6Row
from pxe_edge.registry import addresses, hosts, why
from pxe_edge.registry.errors import ConflictError
from pxe_edge.registry.lease6_store import Lease6Store, server_duid

MAC = "52:54:00:00:00:01"


@pytest.fixture
def row(registry):
    return Lease6Row(
        IPv6Address("fd00:77::50"), MAC, "prov6", "bound", registry.now().timestamp() + 3600,
        duid=b"\0\4" + bytes(16), iaid=0xFFFFFFFF, interface_id=b"port 7", remote_id=b"r",
    )  # fmt: skip


def test_rows_come_back_as_they_were_and_the_last_of_a_group_counts(registry, row):
    store = Lease6Store(registry.db)
    other = replace(row, address=IPv6Address("fd00:77::51"), mac="duid-00", state="released")
    assert store.commit([replace(row, state="released"), row, other]) == frozenset()
    assert store.commit([]) == frozenset()
    assert list(Lease6Store(registry.db).load()) == [row, other]


def test_an_address_that_somebody_holds_is_refused_and_the_rest_is_stored(registry, row):
    store = Lease6Store(registry.db)
    store.commit([row])
    thief, fresh = replace(row, mac="x"), replace(row, mac="y", address=IPv6Address("fd00:77::51"))
    assert store.commit([thief, fresh]) == {row.address}
    assert [each.mac for each in store.load()] == [MAC, "y"]
    store.commit([replace(row, state="released")])
    assert store.commit([thief]) == frozenset()
    store.commit([replace(thief, expires_at=registry.now().timestamp() - 1)])
    assert store.commit([row]) == frozenset()


def test_why_knows_an_ipv6_address_in_any_spelling(registry, row):
    Lease6Store(registry.db).commit([row])
    with registry.db.read() as session:
        told = why.explain(session, "FD00:0077:0::50")
    assert "fd00:77::50" in str(told)


def test_ipam_keeps_off_what_dhcpv6_gave_away(registry, row):
    Lease6Store(registry.db).commit([row])
    with registry.db.write() as session:
        mac = "52:54:00:00:00:02"
        host = hosts.register(session, registry.now(), "web-02", own_name=False, macs=[mac], by="test")
        with pytest.raises(ConflictError, match="leased by DHCP to 52:54:00:00:00:01"):
            addresses.keep_named(session, registry.now(), host, "nic0/0", row.address, "prov6")


def test_the_servers_identifier_is_made_once(tmp_path):
    made = server_duid(tmp_path)
    assert (len(made), made[:2]) == (18, b"\0\4")
    assert server_duid(tmp_path) == made
    assert server_duid(tmp_path / "..") != made
