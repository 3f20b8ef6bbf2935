"""Device rules: exactly one disk, or a refusal that lists what was seen."""

import pytest

from metal.planning.disks import Refusal, find_disk, unfit
from metal.planning.raid.pools import pools_of
from metal.planning.raid.volumes import choose_volume
from specs.facts import Disk, Hardware
from specs.model import DeviceRule, RaidVolume

GB = 10**9


def disk(device: str, serial: str | None, size_gb: int = 500, **more: object) -> Disk:
    return Disk(device=f"/dev/{device}", serial=serial, size_bytes=size_gb * GB, **more)


DISKS = (
    disk("sda", "A", 500, medium="ssd", transport="sata", model="INTEL SSDSC2KB48", wwn="0x5000c50000000001"),
    disk("sdb", "B", 4000, medium="hdd", transport="sas", by_path="pci-0000:00:1f.2-ata-1", found=("gpt",)),
    disk("sdc", "C", 4000, medium="hdd", transport="sas"),
    disk("sdd", "D", 500, medium="ssd", transport="usb", removable=True),
    disk("sde", "E", 500, medium="ssd", transport="sata", read_only=True),
    disk("sdf", "F", 500, medium="ssd", transport="fc"),
    disk("sdg", None, 500, medium="ssd", transport="sata"),
    disk("sdh", "H", 500, medium="ssd", transport="sata", vendor="AMI", model="Virtual HDisk0"),
    disk("sdi", "I", 500, medium="ssd", transport="sata"),
    disk("sdj", "I", 500, medium="ssd", transport="sata"),
)


@pytest.mark.parametrize(
    ("rule", "serial"),
    [
        ({"serial": "A"}, "A"),
        ({"wwn": "naa.5000C50000000001"}, "A"),
        ({"byPath": "pci-0000:00:1f.2-ata-1"}, "B"),
        ({"media": "ssd"}, "A"),
        ({"model": "intel*"}, "A"),
        ({"minSize": "1TB", "transport": "sas", "byPath": "pci-0000:00:1f.2-ata-1"}, "B"),
    ],
)
def test_a_rule_finds_its_disk(rule: dict[str, str], serial: str) -> None:
    found = find_disk(DeviceRule.model_validate(rule), DISKS)
    assert isinstance(found, Disk)
    assert found.serial == serial


@pytest.mark.parametrize("serial", ["D", "E", "F", "H", "I", "Z"])
def test_what_is_never_meant_does_not_match_even_by_serial(serial: str) -> None:
    found = find_disk(DeviceRule(serial=serial), DISKS)
    assert isinstance(found, Refusal)
    assert found.reason == "no-matching-disk"
    assert "/dev/sda A 466 GiB sata ssd, blank" in found.message
    assert "/dev/sdd D 466 GiB usb ssd, blank [removable]" in found.message


def test_two_matches_are_refused_by_name() -> None:
    found = find_disk(DeviceRule(media="hdd"), DISKS)
    assert found == Refusal(
        "ambiguous-disk",
        "{media hdd} matches 2 disks: /dev/sdb B 3.64 TiB sas hdd, gpt; /dev/sdc C 3.64 TiB sas hdd, blank",
    )


def test_a_disk_that_is_used_otherwise_is_not_counted() -> None:
    found = find_disk(DeviceRule(media="hdd"), DISKS, used={"B"})
    assert isinstance(found, Disk)
    assert found.serial == "C"


def test_reasons_of_unfitness() -> None:
    reasons = {one.device[-1]: unfit(one, DISKS) for one in DISKS}
    assert reasons == {
        "a": None,
        "b": None,
        "c": None,
        "d": "removable",
        "e": "read-only",
        "f": "on a SAN",
        "g": "without serial and WWN",
        "h": "virtual media",
        "i": "its identity is not unique",
        "j": "its identity is not unique",
    }


def volume(count: int, spares: int = 0, **drives: object) -> RaidVolume:
    wish = {"name": "v", "level": "raid1", "spares": spares, "drives": {"count": count, **drives}}
    return RaidVolume.model_validate(wish)


def test_drives_are_taken_by_identity_whatever_the_order_seen() -> None:
    for seen in (DISKS, DISKS[::-1]):
        found = choose_volume(volume(2), pools_of(Hardware(disks=seen)))
        assert not isinstance(found, Refusal)
        assert [one.identity for one in found.members] == ["A", "B"]


def test_too_few_drives_are_refused() -> None:
    found = choose_volume(volume(2, 1, media="hdd"), pools_of(Hardware(disks=DISKS)))
    assert isinstance(found, Refusal)
    assert found.reason == "not-enough-drives"
    told = "volume v: software RAID: 3 drives are asked for, 2 fit; seen: /dev/sda A"
    assert found.message.startswith(told)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (("A", "w1"), (None, "w1"), "one disk seen 2 times, as /dev/sda, /dev/sdb: leave one path"),
        (("A", "w1"), ("A", "w1"), "one disk seen 2 times, as /dev/sda, /dev/sdb: leave one path"),
        (("A", "w1"), ("B", "w1"), None),  # makers have given one WWN to all of a series
        (("A", "w1"), (None, "w2"), None),
        (("A", None), (None, "w2"), None),
    ],
)
def test_a_path_that_shows_no_serial_is_another_path_to_the_disk_of_its_wwn(first, second, why) -> None:
    """Else a rule for the one and a rule for the other would both be carried out, on one disk."""
    seen = [
        disk(f"sd{letter}", one[0], wwn=one[1]) for letter, one in zip("ab", (first, second), strict=True)
    ]
    assert [unfit(one, seen) for one in seen] == [why, why]
