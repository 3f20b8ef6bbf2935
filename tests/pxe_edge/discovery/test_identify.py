"""Report-ins: which machine it is, and every way of claiming to be another one."""

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pxe_edge.discovery.identify import Boot, KnownHost, Refusal, discover, find, host_name
from specs.facts import Discovery, ReportIn
from specs.load import load_files, resolve

UUID_A, UUID_B = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
MAC_A, MAC_B = "52:54:00:00:00:0a", "52:54:00:00:00:0b"
A = KnownHost("h-a", "a", UUID_A, "SN-A", frozenset({MAC_A}))
B = KnownHost("h-b", "b", UUID_B, "SN-B", frozenset({MAC_B}))
BARE = KnownHost("h-c", "c", None, None, frozenset({"52:54:00:00:00:0c"}))
REPORT = ReportIn(
    boot_no=7,
    mac=MAC_A,
    uuid=UUID_A,
    serial="SN-A",
    addresses=("10.77.1.50/24",),
    ssh_host_key="ssh-ed25519 AAAA",
    arch="x86_64",
    firmware="uefi",
    mem_bytes=1 << 30,
)


@pytest.mark.parametrize(
    ("uuid", "serial", "macs", "expected"),
    [
        (UUID_A, None, (), A),
        (None, "SN-B", (), B),
        (None, None, (MAC_B,), B),
        (UUID_A, "SN-A", (MAC_A,), A),
        (UUID_A, None, ("52:54:00:00:00:99",), A),
        ("77777777-2222-3333-4444-555555555555", "SN-X", ("52:54:00:00:00:99",), None),
        (UUID_B, "SN-B", tuple(BARE.macs), "two hosts"),
        (UUID_A, "SN-B", (), "two hosts"),
        (None, None, (MAC_A, MAC_B), "two hosts"),
        (UUID_A, "SN-X", (), "has serial SN-A"),
        ("77777777-2222-3333-4444-555555555555", None, (MAC_A,), "has UUID"),
        (UUID_A, None, tuple(BARE.macs), "two hosts"),
        (None, None, tuple(BARE.macs), BARE),
    ],
)
def test_find(uuid: str | None, serial: str | None, macs: tuple[str, ...], expected: object) -> None:
    got = find((A, B, BARE), uuid=uuid, serial=serial, macs=macs)
    if isinstance(expected, str):
        assert isinstance(got, Refusal)
        assert got.reason == "identity-conflict"
        assert expected in got.message
    else:
        assert got == expected


def test_a_good_report_is_a_discovery() -> None:
    got = discover(REPORT, Boot(7, MAC_A, "h-a"), "10.77.1.50", (A, B))
    assert isinstance(got, Discovery)
    assert (got.host_id, got.address, got.firmware) == ("h-a", "10.77.1.50", "uefi")


def test_behind_another_address_the_machines_own_counts() -> None:
    got = discover(REPORT, Boot(7, MAC_A, "h-a"), "10.99.0.1", (A,))
    assert isinstance(got, Discovery)
    assert got.address == "10.77.1.50"


@pytest.mark.parametrize(
    ("changed", "boot", "reason"),
    [
        ({"mac": MAC_B}, Boot(7, MAC_A, "h-a"), "bad-report"),
        ({"mac": "ff:ff:ff:ff:ff:ff"}, Boot(7, MAC_A, "h-a"), "bad-report"),
        ({"boot_no": 8}, Boot(7, MAC_A, "h-a"), "bad-report"),
        ({"ssh_host_key": "ssh-rsa AAAA"}, Boot(7, MAC_A, "h-a"), "bad-report"),
        ({"ssh_host_key": "ssh-ed25519 " + "A" * 500}, Boot(7, MAC_A, "h-a"), "bad-report"),
        ({"uuid": UUID_B}, Boot(7, MAC_A, "h-a"), "identity-conflict"),
        ({"serial": "SN-X"}, Boot(7, MAC_A, "h-a"), "identity-conflict"),
        ({"uuid": UUID_B, "serial": "SN-B", "mac": MAC_B}, Boot(7, MAC_B, "h-a"), "identity-conflict"),
        (
            {"uuid": None, "serial": None, "mac": "52:54:00:00:00:77"},
            Boot(7, "52:54:00:00:00:77", "h-a"),
            "identity-conflict",
        ),
    ],
)
def test_hostile_reports_are_refused(changed: dict[str, object], boot: Boot, reason: str) -> None:
    report = REPORT.model_copy(update=changed)
    got = discover(report, boot, "10.77.1.50", (A, B))
    assert isinstance(got, Refusal)
    assert got.reason == reason


def test_vendor_default_identities_name_nobody() -> None:
    other = replace(A, serial="To Be Filled By O.E.M.", uuid=None)
    report = REPORT.model_copy(
        update={
            "serial": "To Be Filled By O.E.M.",
            "uuid": "0" * 8 + "-0000-0000-0000-" + "0" * 12,
            "mac": MAC_B,
        }
    )
    got = discover(report, Boot(7, MAC_B, None), "10.77.1.50", (other,))
    assert isinstance(got, Discovery)
    assert (got.host_id, got.uuid, got.serial) == (None, None, None)


@example("  ", "A")
@example("!", "!")
@given(st.none() | st.text(max_size=80), st.none() | st.text(max_size=80))
def test_every_made_up_name_is_a_name_that_a_spec_may_have(vendor: str | None, serial: str | None) -> None:
    name = host_name(vendor, serial, MAC_A)
    text = f'apiVersion: rackflow/v1\nkind: Host\nmetadata: {{name: "{name}"}}\nmatch: {{mac: "{MAC_A}"}}\n'
    assert list(resolve(load_files({"a.yaml": text})).hosts) == [name]


def test_names() -> None:
    assert host_name("Dell Inc.", "7CT2XZ2", MAC_A) == "dell-7ct2xz2"
    assert host_name(None, "7CT2XZ2", MAC_A) == "mac-52540000000a"
