"""One address has one owner, whichever of IPAM and DHCP gave it; one publisher wins; a consent ends."""

import threading
from datetime import timedelta
from ipaddress import IPv4Address
from typing import Any

import pytest

from pxe_edge.policy.leases import LeaseRow, LeaseTable
from pxe_edge.policy.networks import serve_site
from pxe_edge.registry import addresses, binding, consents, hosts, images, orders, specsets
from pxe_edge.registry import registry as registry_module
from pxe_edge.registry.errors import ConflictError
from pxe_edge.registry.lease_store import LeaseStore
from pxe_edge.registry.packet_view import PacketView
from pxe_edge.registry.specsets import FindingsError
from pxe_edge.wire.options import dotted

MAC, OTHER = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
WEB = f"""
kind: Host
metadata: {{name: web-01}}
match: {{mac: "{MAC}"}}
network: {{ethernets: {{nic0: {{addresses: [10.77.1.50/24]}}}}}}
"""


def lease(reg: Any, address: str, mac: str = OTHER, **more: Any) -> LeaseRow:
    until = reg.now().timestamp() + 3600
    row = LeaseRow(int(IPv4Address(address)), mac, "prov", "bound", until)
    return row._replace(**more)


def publish(reg: Any, *documents: str, name: str = "") -> str:
    site = specsets_site(reg)
    files = {"site.yaml": f"{site}\n# {name}\n", **{f"{n}.yaml": text for n, text in enumerate(documents)}}
    return str(reg.publish_files(files, author="test").id)


def specsets_site(reg: Any) -> str:
    with reg.db.read() as session:
        return str(specsets.get(session, "current").files["site.yaml"])


def register(reg: Any, mac: str = MAC) -> str:
    with reg.db.write() as session:
        host = hosts.register(session, reg.now(), "first", own_name=False, macs=[mac], by="test")
        binding.arrived(session, reg.now(), host, reg.current)
        return str(host.id)


def offers(reg: Any, view: PacketView, mac: str) -> IPv4Address | None:
    network = serve_site(view.site()).network("prov")
    address = LeaseTable().choose(network, mac, None, reg.now().timestamp())
    return IPv4Address(address) if address is not None else None


def test_dhcp_gives_nobody_else_an_address_that_a_spec_names(registry: Any) -> None:
    view = PacketView(registry)
    assert offers(registry, view, OTHER) == IPv4Address("10.77.1.50")
    publish(registry, WEB)  # named by a spec whose machine nobody has seen
    assert offers(registry, view, OTHER) == IPv4Address("10.77.1.51")
    register(registry)
    network = serve_site(view.site()).network("prov")
    table, now = LeaseTable(), registry.now().timestamp()
    address = int(IPv4Address("10.77.1.50"))
    assert table.may_keep(network, MAC, address, now)
    assert not table.may_keep(network, OTHER, address, now)


def test_dhcp_leaves_alone_what_ipam_gave_from_a_pool(registry: Any) -> None:
    view = PacketView(registry)
    host_id = register(registry)
    prov = next(n for n in registry.current.site.networks if n.name == "prov")
    with registry.db.write() as session:
        row = addresses.keep_any(
            session, registry.now(), hosts.get(session, host_id), "nic0/0", prov, named=frozenset()
        )
        assert row.address == "10.77.1.50"
    assert offers(registry, view, OTHER) == IPv4Address("10.77.1.51")
    with registry.db.write() as session:
        session.delete(hosts.get(session, host_id))
    assert offers(registry, view, OTHER) == IPv4Address("10.77.1.50")


def test_ipam_gives_nobody_an_address_that_dhcp_has_given(registry: Any) -> None:
    LeaseStore(registry.db).commit([lease(registry, "10.77.1.50"), lease(registry, "10.77.1.51", "m2")])
    host_id = register(registry)
    prov = next(n for n in registry.current.site.networks if n.name == "prov")
    with registry.db.write() as session:
        host = hosts.get(session, host_id)
        row = addresses.keep_any(session, registry.now(), host, "nic0/0", prov, named=frozenset())
        assert row.address == "10.77.1.52"
    with pytest.raises(FindingsError) as refused:
        publish(registry, WEB)
    assert f"10.77.1.50 is leased by DHCP to {OTHER}" in refused.value.findings[0].message
    LeaseStore(registry.db).commit([lease(registry, "10.77.1.50", state="released")])
    LeaseStore(registry.db).commit([lease(registry, "10.77.1.50", MAC)])  # the host's own lease is no harm
    publish(registry, WEB)


def pool_of(reg: Any) -> Any:
    return next(n for n in reg.current.site.networks if n.name == "prov")


def test_two_threads_that_take_addresses_of_one_pool_get_no_address_twice(registry: Any) -> None:
    prov, each = pool_of(registry), 20
    with registry.db.write() as session:
        for number in range(2 * each):
            hosts.register(session, registry.now(), f"n{number}", own_name=True, by="test")
    start, got = threading.Barrier(2), []

    def take(first: int) -> None:
        start.wait(10)
        for number in range(first, first + each):
            with registry.db.write() as session:
                host = hosts.get(session, f"n{number}")
                row = addresses.keep_any(session, registry.now(), host, "n/0", prov, named=frozenset())
                got.append(row.address)

    threads = [threading.Thread(target=take, args=(first,)) for first in (0, each)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(got) == len(set(got)) == 2 * each


def test_an_address_that_another_writer_took_meanwhile_is_passed_over(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    prov = pool_of(registry)
    monkeypatch.setattr(addresses, "_taken", lambda _session, _now: set())  # read before the other wrote
    got = []
    for number in range(3):
        with registry.db.write() as session:
            host = hosts.register(session, registry.now(), f"n{number}", own_name=True, by="test")
            row = addresses.keep_any(session, registry.now(), host, "n/0", prov, named=frozenset())
            got.append(row.address)

    assert got == ["10.77.1.50", "10.77.1.51", "10.77.1.52"]


def test_a_set_that_gives_away_what_is_kept_for_a_host_is_refused(registry: Any) -> None:
    host_id = register(registry)
    with registry.db.write() as session:
        addresses.keep_fixed(
            session, registry.now(), hosts.get(session, host_id), IPv4Address("10.77.1.50"), registry.current
        )
    before = registry.specset
    taken = WEB.replace(MAC, OTHER)
    with pytest.raises(FindingsError) as named:
        publish(registry, taken)
    site = specsets_site(registry)
    assert "pool: [10.77.1.50" in site
    reserving = site.replace(
        "pool: [10.77.1.50", f'reservations: [{{mac: "{OTHER}", address: 10.77.1.50}}], pool: [10.77.1.50'
    )
    with pytest.raises(FindingsError) as reserved:
        registry.publish_files({"site.yaml": reserving}, author="test")

    for refused in (named, reserved):
        (finding,) = refused.value.findings
        assert finding.message == "10.77.1.50 is kept for mac-52540000000a (pxe)"
    assert reserved.value.findings[0].path.endswith("reservations[0].address")
    assert registry.specset == before
    publish(registry, WEB)  # its own machine may name it


def test_after_a_restart_the_live_lease_counts_and_quarantine_lasts(registry: Any) -> None:
    store = LeaseStore(registry.db)
    moved = lease(registry, "10.77.1.90", state="released", expires_at=0.0)
    store.commit([moved, lease(registry, "10.77.1.52")])  # it had .90 and has .52 now
    held = LeaseTable(store.load()).binding("prov", OTHER)
    assert held is not None
    assert dotted(held.address) == "10.77.1.52"
    store.commit([lease(registry, "10.77.1.60", "m3", state="declined")])
    store.commit([lease(registry, "10.77.1.61", "m3")])
    assert {dotted(row.address) for row in store.load() if row.mac == "m3"} == {"10.77.1.60", "10.77.1.61"}


def test_of_two_publishers_that_knew_the_same_set_one_wins(registry: Any) -> None:
    known = registry.specset
    checked = [specsets.check({"site.yaml": f"{specsets_site(registry)}\n# {n}"}) for n in range(2)]
    for one in checked:
        with registry.db.write() as session:
            specsets.store(
                session, registry.now(), one, commit=None, author="a", dirty=True, expected_current=known
            )
    registry.publish(checked[0].id, expected_current=known)
    with pytest.raises(ConflictError):
        registry.publish(checked[1].id, expected_current=known)
    assert registry.specset == checked[0].id
    registry.publish(checked[0].id, expected_current=known)  # said twice


def test_dhcp_does_not_wait_while_a_set_is_read(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read_set, free = specsets.read_set, []

    def noted(files: Any) -> Any:
        free.append(not registry.db._lock._is_owned())
        return read_set(files)

    monkeypatch.setattr(specsets, "read_set", noted)
    publish(registry, name="another")
    assert free == [True, True]


def test_addresses_stay_when_the_kernel_can_not_be_asked(
    registry: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.addresses = {"prov": IPv4Address("10.77.1.1")}
    monkeypatch.setattr(registry_module, "own_addresses", dict)
    registry.read_addresses()
    assert registry.boot_url == "http://10.77.1.1:8080"


def test_an_expired_consent_does_not_count(registry: Any, clock: Any) -> None:
    host_id = register(registry)
    with registry.db.write() as session:
        consents.put_plan(session, registry.now(), "p", {})
        consents.give(session, registry.now(), hosts.get(session, host_id), plan="p", by="op")
    for days, count in ((6, 1), (2, 0)):
        clock.forward(timedelta(days=days).total_seconds())
        with registry.db.write() as session:
            found = consents.valid(session, registry.now(), hosts.get(session, host_id), plan=None, job=None)
            assert len(found) == count


def test_an_image_that_is_not_the_one_the_set_names_is_not_in_the_order(registry: Any) -> None:
    stored, other = (f"sha256:{digit * 64}" for digit in "ab")
    with registry.db.write() as session:
        images.declare(session, registry.now(), "debian")
        images.ready(
            session, registry.now(), "debian",
            {"digest": stored, "format": "raw", "manifest_sha256": "c" * 64, "size_bytes": 512,
             "blob_bytes": 1, "info": {}},
        )  # fmt: skip
    image = 'kind: Image\nmetadata: {{name: debian}}\nsource: {{upload: true}}\ndigest: "{0}"\n'
    image += "os: {{family: debian, version: '12'}}\n"
    web = WEB + "image: debian\nrootDevice: {serial: S1}\n"
    register(registry)
    for digest, there in ((stored, True), (other, False)):
        publish(registry, web, image.format(digest))
        with registry.db.write() as session:
            order = orders.order(session, registry, hosts.get(session, "web-01"))
            assert (order.image is not None) is there
