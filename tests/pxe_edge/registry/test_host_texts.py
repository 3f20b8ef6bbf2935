"""Hosts as JSON text: readings are put in as they are stored, pages end before they become large."""

import json
from typing import Any

import pytest
from sqlalchemy import event, update

from pxe_edge.registry import hosts, observations, readings
from pxe_edge.registry.host_texts import PAGE_BYTES, PAGE_HOSTS
from pxe_edge.registry.registry import Registry
from pxe_edge.registry.tables import HostRow, ObservationRow
from specs.facts import BmcState, Hardware, Observation, SystemFacts
from specs.records import HostRecord


def add(registry: Registry, name: str, **parts: Any) -> None:
    with registry.db.write() as session:
        host = hosts.lookup(session, name) or hosts.register(
            session, registry.now(), name, own_name=True, by="test"
        )
        if parts:
            seen = Observation(at=registry.now(), **{"seen_from": "boot-os", **parts})
            observations.store(session, registry.now(), host, readings.of(seen))


def pages(registry: Registry) -> list[list[HostRecord]]:
    """All pages, as a client reads them."""
    found, after = [], ""
    while True:
        with registry.db.read() as session:
            page = json.loads(registry.host_page(session, after))
        found.append([HostRecord.model_validate(item) for item in page["items"]])
        after = page["next"]
        if after is None:
            return found


def one(registry: Registry, name: str) -> HostRecord:
    with registry.db.read() as session:
        return HostRecord.model_validate_json(registry.host_text(session, hosts.get(session, name)))


def test_a_site_without_hosts_has_one_empty_page(registry: Registry) -> None:
    assert pages(registry) == [[]]


def test_a_page_ends_at_its_number_of_hosts(registry: Registry) -> None:
    now = registry.now()
    with registry.db.write() as session:
        for number in range(PAGE_HOSTS + 1):
            name = f"h-{number:03}"
            session.add(HostRow(id=name, name=name, phase="ready", phase_since=now, created_at=now))
    assert [len(page) for page in pages(registry)] == [PAGE_HOSTS, 1]


def test_a_page_ends_when_its_readings_make_it_large(registry: Registry) -> None:
    """Two readings of more than half a page each fill one; the third is not even read for it."""
    text = "x" * (PAGE_BYTES // 2 + 1)
    for name in ("a", "b", "c", "e"):
        add(registry, name, unknown={"hardware": text})
    add(registry, "d")
    assert [[host.name for host in page] for page in pages(registry)] == [["a", "b"], ["c", "d", "e"]]
    read = []
    engine = registry.db._engine

    def fetched(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "observations" in statement:
            read.append(cursor)

    event.listen(engine, "after_cursor_execute", fetched)
    with registry.db.read() as session:
        registry.host_page(session, "")
    assert len(read) == 1


def test_a_reading_of_more_than_a_page_is_a_page(registry: Registry) -> None:
    for name in ("a", "b"):
        add(registry, name, unknown={"hardware": "x" * (PAGE_BYTES + 1)})
    assert [[host.name for host in page] for page in pages(registry)] == [["a"], ["b"]]


@pytest.mark.parametrize("text", ["plain", 'quoted "observation":null', "Ünbekannt \u2028 \x00"])
def test_a_reading_is_answered_as_it_was_given(registry: Registry, text: str) -> None:
    hardware = Hardware(manufacturer=text)
    add(registry, "a", hardware=hardware, unknown={"bmc": text})
    (page,) = pages(registry)
    assert page == [one(registry, "a")]
    seen = page[0].observation
    assert seen is not None
    assert (seen.hardware, seen.unknown, seen.at) == (hardware, {"bmc": text}, registry.now())


@pytest.mark.parametrize("stored_by_json_dumps", [False, True])
def test_parts_that_a_reading_lacks_are_kept_as_text(
    registry: Registry, *, stored_by_json_dumps: bool
) -> None:
    hardware = Hardware(manufacturer="Ünbekannt")
    add(registry, "a", hardware=hardware, system=SystemFacts(hostname="old"))
    if stored_by_json_dumps:  # as earlier versions did
        with registry.db.write() as session:
            before = observations.get(session, one(registry, "a").id)
            assert before is not None
            session.execute(update(ObservationRow).values(value=json.dumps(before.model_dump(mode="json"))))
    new = {"system": SystemFacts(hostname="new"), "bmc": BmcState(power="on"), "seen_from": "running-os"}
    add(registry, "a", **new)
    seen = one(registry, "a").observation
    assert seen == Observation(at=registry.now(), hardware=hardware, **new)
    with registry.db.read() as session:
        assert observations.get(session, one(registry, "a").id) == seen
