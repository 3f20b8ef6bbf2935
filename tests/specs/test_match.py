"""Binding specs to machines: exactly one, and never moved."""

import pytest

from specs.facts import Disk, Hardware
from specs.load import load_files, resolve
from specs.match import Machine, SpecIndex, bind, fits

HARDWARE = Hardware(
    manufacturer="Dell Inc.",
    memory_bytes=64 << 30,
    disks=(Disk(device="/dev/sda", serial="S1", size_bytes=1 << 40),),
)
M1 = Machine(
    id="h1",
    name="dell-1",
    macs=("52:54:00:00:00:01",),
    serial="SN-1",
    hardware=HARDWARE,
    bmc_address="10.0.0.9",
)
M2 = Machine(id="h2", macs=("52:54:00:00:00:02",), serial="SN-2", uuid="7f3c1a52-6b0e-4d7a-9c11-0a5d31c0de02")
BLANK = Machine(id="h3", serial="To be filled by O.E.M.", uuid="00000000-0000-0000-0000-000000000000")


def specs(**matches: str | None):
    docs = [
        f"kind: Host\nmetadata: {{name: {name}}}\n" + (f"match: {match}\n" if match else "")
        for name, match in matches.items()
    ]
    return resolve(load_files({"a.yaml": "---\n".join(docs)}))


@pytest.mark.parametrize(
    ("match", "fitting"),
    [
        ("{serial: sn-1}", ["h1"]),
        ('{mac: "52-54-00-00-00-02"}', ["h2"]),
        ("{uuid: 7F3C1A52-6B0E-4D7A-9C11-0A5D31C0DE02}", ["h2"]),
        ("{bmc: 10.0.0.9}", ["h1"]),
        ("{serial: SN-1, bmc: 10.0.0.8}", []),
        ('{serial: "To be filled by O.E.M."}', []),
        ('{uuid: "00000000-0000-0000-0000-000000000000"}', []),
        ("{facts: [{path: memoryBytes, atLeast: 64GiB}]}", ["h1"]),
        ("{facts: [{path: memoryBytes, atLeast: 65GiB}]}", []),
        ("{facts: [{path: disks, atLeast: 1}, {path: disks.0.serial, equals: s1}]}", ["h1"]),
        ("{facts: [{path: disks.7.serial, equals: s1}]}", []),
        ("{facts: [{path: cpu_cores, atLeast: 1}]}", []),
        (None, []),
    ],
)
def test_what_a_match_fits(match: str | None, fitting: list[str]) -> None:
    host = specs(a=match).hosts["a"]
    assert [one.id for one in (M1, M2, BLANK) if fits(host, one)] == fitting


def test_a_spec_without_match_is_about_the_host_of_its_name() -> None:
    assert fits(specs(**{"dell-1": None}).hosts["dell-1"], M1)


def test_one_fit_is_bound_and_none_waits() -> None:
    found = specs(a="{serial: SN-1}", b="{serial: SN-9}")
    result = bind(found.hosts, [M1, M2], {}, found)
    assert (result.bindings, result.added, result.findings) == ({"a": "h1"}, {"a": "h1"}, ())
    assert "serial SN-9 fits no machine; known machines: dell-1, serial SN-1" in result.unbound["b"].message


def test_two_fits_are_a_finding_that_names_them() -> None:
    found = specs(a="{facts: [{path: memoryBytes, atLeast: 1}]}")
    twin = Machine(id="h4", name="dell-4", hardware=HARDWARE)
    (finding,) = bind(found.hosts, [M1, twin], {}, found).findings
    assert str(finding).startswith("a.yaml:3:1: match: memoryBytes fits 2 machines: dell-1, serial SN-1")
    assert "dell-4" in finding.message


def test_two_specs_never_share_a_machine() -> None:
    found = specs(a="{serial: SN-1}", b='{mac: "52:54:00:00:00:01"}')
    result = bind(found.hosts, [M1], {}, found)
    assert result.bindings == {"a": "h1"}
    assert "which is bound to a" in result.findings[0].message


def test_a_stored_binding_stays_when_the_match_moves() -> None:
    found = specs(a="{serial: SN-2}")
    result = bind(found.hosts, [M1, M2], {"a": "h1"}, found)
    assert result.bindings == {"a": "h1"}
    assert "now fits h2, serial SN-2" in result.findings[0].message


def test_a_binding_waits_for_its_spec_but_not_on_a_machine_that_was_given_away() -> None:
    found = specs(b="{serial: SN-1}")
    assert bind(found.hosts, [M1, M2], {"gone": "h2", "renamed": "h1"}, found).bindings == {
        "gone": "h2",
        "b": "h1",
    }


@pytest.mark.parametrize(
    "match",
    [
        "{serial: ' sn-1 '}", '{mac: "52-54-00-00-00-02"}', "{uuid: 7F3C1A52-6B0E-4D7A-9C11-0A5D31C0DE02}",
        "{bmc: 10.0.0.9}", "{serial: SN-1, bmc: 10.0.0.9}", "{facts: [{path: memoryBytes, atLeast: 64GiB}]}",
    ],
)  # fmt: skip
def test_the_index_leads_to_every_spec_that_fits(match: str) -> None:
    found = specs(**{"a": match, "dell-1": None, "other": "{serial: SN-9}"})
    index = SpecIndex(found.hosts)
    for machine in (M1, M2, BLANK):
        fitting = [name for name, host in found.hosts.items() if fits(host, machine)]
        assert set(fitting) <= set(index.candidates(machine))
        assert "other" not in index.candidates(machine)
