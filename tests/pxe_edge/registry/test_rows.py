"""What the registry remembers: migration, addresses, bindings, secrets at rest, leases of addresses."""

import sqlite3
import threading
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select

from pxe_edge.jobs.leases import Claimant
from pxe_edge.policy.leases import LeaseRow
from pxe_edge.policy.requests import BootRequest
from pxe_edge.registry import (
    addresses,
    binding,
    credentials,
    hosts,
    jobs,
    leases,
    observations,
    readings,
    sightings,
    site_tables,
    tables,
)
from pxe_edge.registry.errors import ConflictError
from pxe_edge.registry.lease_store import LeaseStore
from pxe_edge.registry.packet_view import PacketView
from pxe_edge.registry.registry import Registry, open_registry
from pxe_edge.registry.sealing import Seal, Sealed
from pxe_edge.registry.specsets import FindingsError
from pxe_edge.wire.options import dotted
from specs.facts import Hardware, Observation
from specs.phases import Phase

SITE = Path(__file__).with_name("conftest.py").read_text().split('"""')[3]
WEB = """
apiVersion: rackflow/v1
kind: Host
metadata: {{name: {name}}}
match: {{serial: {serial}}}
{more}
"""
MAC = "52:54:00:00:00:0a"


def add(registry: Registry, name: str, *, serial: str | None = None, mac: str | None = None) -> str:
    with registry.db.write() as session:
        row = hosts.register(
            session, registry.now(), name, own_name=True, serial=serial, macs=[mac] if mac else [], by="test"
        )
        return row.id


def publish(registry: Registry, *docs: str) -> None:
    registry.publish_files({"site.yaml": SITE, **{f"{n}.yaml": d for n, d in enumerate(docs)}}, author="test")


def test_the_migration_makes_exactly_the_tables_that_are_mapped(registry: Registry) -> None:
    assert site_tables.Base is tables.Base
    with registry.db._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, tables.Base.metadata) == []


def test_a_registry_opens_again_with_its_current_set_and_key(registry: Registry, tmp_path: Path) -> None:
    with registry.db.write() as session:
        credentials.set_secret(session, registry.now(), registry.seal, "ops", "s3cret-value")
    again = open_registry(tmp_path, clock=registry.now)
    assert again.specset == registry.specset
    assert again.management_public == registry.management_public
    with again.db.read() as session:
        assert credentials.read_secret(session, again.seal, "ops").value == "s3cret-value"
    again.db.close()


def test_a_failed_transaction_leaves_nothing(registry: Registry) -> None:
    def half() -> None:
        with registry.db.write() as session:
            hosts.register(session, registry.now(), "half", own_name=True, by="test")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    with registry.db.read() as session:
        assert hosts.lookup(session, "half") is None


def test_writers_take_turns(registry: Registry) -> None:
    """Twenty threads each raise one host's job number by five; none is lost, none meets a locked database."""
    host_id = add(registry, "busy")

    def raise_number() -> None:
        for _ in range(5):
            with registry.db.write() as session:
                session.get_one(tables.HostRow, host_id).last_job += 1

    threads = [threading.Thread(target=raise_number) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with registry.db.read() as session:
        assert session.get_one(tables.HostRow, host_id).last_job == 100


def test_a_naive_time_is_refused(registry: Registry) -> None:
    with pytest.raises(Exception, match="without zone"), registry.db.write() as session:
        hosts.register(session, datetime(2026, 1, 1), "naive", own_name=True, by="test")  # noqa: DTZ001


def test_identities_are_unique(registry: Registry) -> None:
    add(registry, "a", serial="SN1", mac=MAC)
    for name, serial, mac in (("b", "SN1", None), ("c", None, MAC), ("a", None, None)):
        with pytest.raises(ConflictError):
            add(registry, name, serial=serial, mac=mac)


def test_a_former_name_finds_its_host_until_another_takes_it(registry: Registry) -> None:
    first = add(registry, "old")
    with registry.db.write() as session:
        hosts.rename(session, registry.now(), hosts.get(session, "old"), "new", own_name=True)
        assert hosts.get(session, "old").id == first
    second = add(registry, "old")
    with registry.db.write() as session:
        assert [hosts.get(session, name).id for name in ("old", "new", first)] == [second, first, first]
        with pytest.raises(ConflictError):
            hosts.rename(session, registry.now(), hosts.get(session, "new"), "old", own_name=True)


def test_bmc_addresses_are_the_next_free_ones_and_kept(registry: Registry) -> None:
    current = registry.current
    assert current is not None
    ids = [add(registry, name) for name in ("a", "b", "c")]
    with registry.db.write() as session:
        rows = [session.get_one(tables.HostRow, host_id) for host_id in ids]
        first = addresses.keep_bmc(session, registry.now(), rows[0], None, current)
        again = addresses.keep_bmc(session, registry.now(), rows[0], None, current)
        second = addresses.keep_bmc(session, registry.now(), rows[1], None, current)
        assert first is not None
        assert again is not None
        assert second is not None
        assert [first.address, again.address, second.address] == ["10.77.9.50", "10.77.9.50", "10.77.9.52"]
        with pytest.raises(ConflictError, match="no free address"):
            addresses.keep_bmc(session, registry.now(), rows[2], None, current)


def test_an_address_of_a_spec_is_kept_or_refused(registry: Registry) -> None:
    add(registry, "x", serial="SN1")
    add(registry, "y", serial="SN2")
    network = "network: {ethernets: {nic0: {addresses: [{pool: os}, 10.1.1.21/24]}}}"
    publish(registry, WEB.format(name="web-01", serial="SN1", more=network))
    with registry.db.read() as session:
        host = hosts.get(session, "x")
        assert host.name == "web-01"
        kept = {key: row.address for key, row in addresses.kept(session, host.id).items()}
    assert kept == {"bmc": "10.77.9.50", "nic0/0": "10.1.1.20", "nic0/1": "10.1.1.21"}
    taken = "bmc: {address: 10.77.9.50}"
    with pytest.raises(FindingsError, match="finding") as refused:
        publish(
            registry,
            WEB.format(name="web-01", serial="SN1", more=network),
            WEB.format(name="db", serial="SN2", more=taken),
        )
    assert "10.77.9.50 is kept for web-01" in refused.value.findings[0].message
    assert refused.value.findings[0].file == "1.yaml"
    with registry.db.read() as session:
        assert binding.bindings(session) == {"web-01": hosts.get(session, "web-01").id}


def test_a_pool_leaves_out_what_a_spec_names_before_its_machine_is_seen(registry: Registry) -> None:
    publish(registry, WEB.format(name="later", serial="SN9", more="bmc: {address: 10.77.9.50}"))
    host_id = add(registry, "a")
    assert registry.current is not None
    with registry.db.write() as session:
        host = session.get_one(tables.HostRow, host_id)
        row = addresses.keep_bmc(session, registry.now(), host, None, registry.current)
    assert row is not None
    assert row.address == "10.77.9.52"


def test_a_match_that_fits_two_machines_refuses_the_set_and_the_old_one_stays(registry: Registry) -> None:
    before = registry.specset
    for mac in (MAC, "52:54:00:00:00:0b"):
        add(registry, f"mac-{mac[-2:]}", mac=mac)
    rules = "metadata: {name: any}\nmatch: {facts: [{path: manufacturer, equals: QEMU}]}"
    with registry.db.write() as session:
        for row_name in ("mac-0a", "mac-0b"):
            seen = Observation(at=registry.now(), seen_from="boot-os", hardware=Hardware(manufacturer="QEMU"))
            observations.store(session, registry.now(), hosts.get(session, row_name), readings.of(seen))
    with pytest.raises(FindingsError) as refused:
        publish(registry, f"apiVersion: rackflow/v1\nkind: Host\n{rules}\n")
    assert "fits 2 machines" in refused.value.findings[0].message
    assert registry.specset == before


def test_publishing_posts_apply_only_for_ready_hosts_that_allow_it(registry: Registry) -> None:
    image = (
        "apiVersion: rackflow/v1\nkind: Image\nmetadata: {name: deb}\nsource: {upload: true}\n"
        "os: {family: debian, version: '12'}\n"
    )
    for name, serial in (("r1", "SN1"), ("r2", "SN2"), ("r3", "SN3")):
        add(registry, name, serial=serial)
    with registry.db.write() as session:
        for name in ("r1", "r2"):
            hosts.get(session, name).phase = Phase.READY
    more = "image: deb\nrootDevice: {{serial: D{n}}}\nlifecycle: {{destroy: {destroy}}}"
    elsewhere = "\nbmc: {address: 10.77.9.60}"
    publish(
        registry, image,
        WEB.format(name="web-1", serial="SN1", more=more.format(n=1, destroy="allow")),
        WEB.format(name="web-2", serial="SN2", more=more.format(n=2, destroy="ask")),
        WEB.format(name="web-3", serial="SN3", more=more.format(n=3, destroy="allow") + elsewhere),
    )  # fmt: skip
    with registry.db.read() as session:
        posted = [(row.verb, row.by) for row in session.scalars(select(tables.JobRow))]
        assert posted == [("apply", "publish")]
        assert jobs.unfinished(session, hosts.get(session, "web-1").id)[0].state == "wanted"


def test_secrets_are_not_in_the_database_in_clear(registry: Registry, tmp_path: Path) -> None:
    host_id = add(registry, "a")
    with registry.db.write() as session:
        host = session.get_one(tables.HostRow, host_id)
        given = credentials.candidate(
            session, registry.now(), registry.seal, host, address="10.77.9.50", user="rackflow", password=None
        )
        credentials.set_secret(session, registry.now(), registry.seal, "ops", "correct horse battery")
        row = credentials.management_key(session, registry.now(), registry.seal)
        private = credentials.management_private(row, registry.seal)
    registry.db.close()
    raw = b"".join(path.read_bytes() for path in (tmp_path / "edge").glob("registry.sqlite*"))
    assert b"rackflow" in raw
    tokens = [path.read_text().strip() for path in (tmp_path / "edge" / "tokens").iterdir()]
    for secret in (given.password, "correct horse battery", private.splitlines()[2], *tokens):
        assert secret.encode() not in raw
    assert len(given.password) == 16
    for path in (tmp_path / "edge" / "site.key", tmp_path / "edge" / "tokens" / "admin"):
        assert path.stat().st_mode & 0o077 == 0


def test_a_sealed_secret_opens_only_in_its_row_and_with_its_key() -> None:
    seal = Seal(b"k" * 32)
    sealed = seal.seal("value", "secret:a@1")
    assert seal.open(sealed, "secret:a@1") == "value"
    with pytest.raises(ValueError, match="does not open"):
        seal.open(sealed, "secret:b@1")
    with pytest.raises(ValueError, match="does not open"):
        seal.open(Sealed(sealed.key_id, sealed.blob[:-1] + b"\0"), "secret:a@1")
    with pytest.raises(ValueError, match="sealed with key"):
        Seal(b"j" * 32).open(sealed, "secret:a@1")


def test_a_candidate_is_given_again_until_it_is_proven(registry: Registry) -> None:
    host_id = add(registry, "a")
    now, seal = registry.now(), registry.seal
    with registry.db.write() as session:
        host = session.get_one(tables.HostRow, host_id)

        def candidate() -> str:
            made = credentials.candidate(
                session, now, seal, host, address="10.77.9.50", user="rackflow", password=None
            )
            return made.password

        first = candidate()
        assert candidate() == first
        credentials.promote(session, now, seal, host, user="rackflow")
        second = candidate()
        assert second != first
        states = [(c.state, c.password) for c in credentials.of_host(session, seal, host)]
        assert states == [("current", first), ("candidate", second)]
        credentials.promote(session, now, seal, host, user="rackflow")
        states = [(c.state, c.password) for c in credentials.of_host(session, seal, host)]
        assert states == [("current", second), ("previous", first)]
        with pytest.raises(ConflictError):
            credentials.promote(session, now, seal, host, user="somebody")


def test_a_crashed_holders_epoch_is_never_given_again(registry: Registry) -> None:
    host_id = add(registry, "a")
    with registry.db.write() as session:
        host = session.get_one(tables.HostRow, host_id)
        job, _ = jobs.post(session, registry.now(), host, "apply", by="test")
        first = leases.claim(session, registry.now(), host, Claimant(job.no, "r1"))
        leases.take_away(session, host_id)
        second = leases.claim(session, registry.now(), host, Claimant(job.no, "r2"))
        assert (first.epoch, second.epoch) == (1, 2)
        with pytest.raises(ConflictError, match="epoch 1"):
            leases.require_epoch(session, host, 1)


def lease(address: str, mac: str, **more: object) -> LeaseRow:
    return LeaseRow(
        address=int(IPv4Address(address)), mac=mac, network="prov", state="bound", expires_at=1e9, **more
    )  # type: ignore[arg-type]


def test_leases_replace_those_of_their_address_and_of_their_holder(
    registry: Registry, tmp_path: Path
) -> None:
    store = LeaseStore(registry.db)
    store.commit([lease("10.77.1.50", MAC, client_id=b"\x01\xff", host_name="a"), lease("10.77.1.51", "m2")])
    # Those leases have ended: the address may be taken over, and their holder may have another one.
    assert store.commit([lease("10.77.1.52", MAC), lease("10.77.1.51", "m3")]) == frozenset()
    assert [(dotted(r.address), r.mac, r.state) for r in store.load()] == [
        ("10.77.1.50", MAC, "released"),
        ("10.77.1.51", "m3", "bound"),
        ("10.77.1.52", MAC, "bound"),
    ]
    other = sqlite3.connect(tmp_path / "edge" / "registry.sqlite")
    assert other.execute("SELECT count(*) FROM dhcp_leases").fetchone() == (3,)
    other.close()


def test_the_database_gives_no_address_to_two_and_no_client_two_addresses(
    registry: Registry, tmp_path: Path, clock
) -> None:
    store = LeaseStore(registry.db)
    until = clock().timestamp() + 3600
    held = lease("10.77.1.50", MAC)._replace(expires_at=until)
    store.commit([held])
    taken, free = held._replace(mac="m2"), held._replace(mac="m3", address=held.address + 1)
    assert store.commit([taken, free]) == {held.address}
    assert [(dotted(r.address), r.mac) for r in store.load()] == [("10.77.1.50", MAC), ("10.77.1.51", "m3")]
    other = sqlite3.connect(tmp_path / "edge" / "registry.sqlite")
    with pytest.raises(sqlite3.IntegrityError, match="mac"):
        other.execute("UPDATE dhcp_leases SET mac = ? WHERE address = '10.77.1.51'", (MAC,))
    with pytest.raises(sqlite3.IntegrityError, match="address"):
        other.execute(
            "INSERT INTO dhcp_leases SELECT address, 'm9', 'n', 'free', 0, '', '', '', '' FROM dhcp_leases"
        )
    other.close()


def test_leases_of_more_than_one_statement_are_one_transaction(registry: Registry) -> None:
    store = LeaseStore(registry.db)
    first = int(IPv4Address("10.77.0.0"))
    rows = [lease("10.77.1.50", f"m{n}")._replace(address=first + n) for n in range(500)]
    assert store.commit(rows) == frozenset()
    assert {row.mac for row in store.load()} == {row.mac for row in rows}
    assert registry.db.checkpoint() > 0
    assert len(store.load()) == 500


def test_sightings_are_bounded_and_no_hosts(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, clock
) -> None:
    monkeypatch.setattr(sightings, "MAX_SIGHTINGS", 3)
    view = PacketView(registry)
    for number in range(5):
        view.sighting(
            BootRequest(f"52:54:00:00:01:0{number}", "pxe", network="prov"),
            "answer=none reason=awaiting-approval",
        )
        clock.forward(1)
    assert view.flush() == 5
    with registry.db.read() as session:
        seen = sightings.newest(session, 10)
        assert [row.mac[-2:] for row in seen] == ["04", "03", "02"]
        assert {row.reason for row in seen} == {"awaiting-approval"}
        assert session.scalars(select(tables.HostRow)).all() == []


def test_the_packet_view_follows_each_commit(registry: Registry) -> None:
    view = PacketView(registry)
    host_id = add(registry, "a", mac=MAC)
    found = view.host_by_mac(MAC)
    assert found is not None
    assert (found.name, found.due) == ("a", "boot-os")
    with registry.db.write() as session:
        session.get_one(tables.HostRow, host_id).phase = Phase.READY
    assert view.host_by_mac(MAC).due is None  # type: ignore[union-attr]
    with registry.db.write() as session:
        jobs.post(session, registry.now(), session.get_one(tables.HostRow, host_id), "apply", by="test")
    assert view.host_by_mac(MAC).due == "boot-os"  # type: ignore[union-attr]
    with registry.db.write() as session:
        session.delete(session.get_one(tables.HostRow, host_id))
    assert view.host_by_mac(MAC) is None
