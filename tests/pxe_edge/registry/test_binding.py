"""Which spec an arriving machine gets, and that this costs the same in a fleet of any size."""

from pathlib import Path

import pytest
from sqlalchemy import event

from pxe_edge.registry import binding, hosts, observations, readings
from pxe_edge.registry.registry import Registry
from specs.facts import Hardware, Observation
from specs.phases import Phase

SITE = Path(__file__).with_name("conftest.py").read_text().split('"""')[3]
MAC = "52:54:00:00:00:0a"


def publish(registry: Registry, **matches: str) -> None:
    docs = {
        f"{name}.yaml": f"apiVersion: rackflow/v1\nkind: Host\nmetadata: {{name: {name}}}\nmatch: {match}\n"
        for name, match in matches.items()
    }
    registry.publish_files({"site.yaml": SITE, **docs}, author="test")


def add(registry: Registry, name: str, **known: str) -> str:
    macs = [known.pop("mac")] if "mac" in known else []
    with registry.db.write() as session:
        row = hosts.register(
            session, registry.now(), name, own_name=False, macs=macs, serial=known.get("serial"), by="test"
        )
        row.phase = Phase(known.get("phase", "registered"))
        return row.id


def tell(registry: Registry, host_id: str, manufacturer: str = "QEMU") -> None:
    seen = Observation(at=registry.now(), seen_from="boot-os", hardware=Hardware(manufacturer=manufacturer))
    with registry.db.write() as session:
        observations.store(session, registry.now(), hosts.get(session, host_id), readings.of(seen))


def arrive(registry: Registry, host_id: str) -> str | None:
    with registry.db.write() as session:
        binding.arrived(session, registry.now(), hosts.get(session, host_id), registry.current)
        return binding.spec_name(session, host_id)


@pytest.mark.parametrize(
    ("match", "bound"),
    [
        (f'{{mac: "{MAC}"}}', "web"),
        ("{serial: ' sn-1 '}", "web"),
        (f'{{serial: SN-1, mac: "{MAC}"}}', "web"),
        ("{serial: SN-9}", None),
        ("{facts: [{path: manufacturer, equals: QEMU}]}", "web"),
        ("{serial: SN-1, facts: [{path: manufacturer, equals: Dell}]}", None),
    ],
)
def test_an_arriving_machine_gets_the_spec_that_fits(
    registry: Registry, match: str, bound: str | None
) -> None:
    publish(registry, web=match, other="{serial: SN-8}")
    host_id = add(registry, "new", mac=MAC, serial="SN-1")
    tell(registry, host_id)
    assert arrive(registry, host_id) == bound


@pytest.mark.parametrize(
    ("match", "bound"),
    [("{facts: [{path: manufacturer, equals: QEMU}]}", None), ("{serial: SN-1}", "web")],
)
def test_a_spec_that_fits_two_machines_is_bound_to_neither(
    registry: Registry, match: str, bound: str | None
) -> None:
    publish(registry, web=match)
    tell(registry, add(registry, "old", serial="SN-2"))
    host_id = add(registry, "new", serial="SN-1")
    tell(registry, host_id)
    assert arrive(registry, host_id) == bound


def test_a_bound_spec_and_a_retired_host_stay_as_they_are(registry: Registry) -> None:
    publish(registry, web="{serial: SN-1}")
    retired = add(registry, "gone", serial="SN-1", phase="retired")
    assert arrive(registry, retired) is None
    with registry.db.write() as session:
        session.delete(hosts.get(session, "gone"))
    assert arrive(registry, add(registry, "first", serial="SN-1")) == "web"
    with registry.db.write() as session:
        hosts.get(session, "web").serial = "SN-2"
    assert arrive(registry, add(registry, "second", serial="SN-1")) is None


def test_an_arrival_costs_the_same_in_a_fleet_of_any_size(registry: Registry) -> None:
    """No statement per host: 10,000 hosts made it five seconds, with DHCP's leases behind the same lock."""
    publish(registry, web=f'{{mac: "{MAC}"}}', other="{serial: SN-8}")
    engine, said = registry.db._engine, []
    event.listen(engine, "before_cursor_execute", lambda *call: said.append(call[2]))
    counts = []
    for number, serial in enumerate(("SN-A", "SN-B")):
        host_id = add(registry, f"new-{number}", serial=serial)
        said.clear()
        arrive(registry, host_id)
        counts.append(len(said))
        for one in range(30):
            add(registry, f"fleet-{number}-{one}", serial=f"F{number}{one}")
    assert counts[0] == counts[1]
    assert counts[0] < 10
