"""Several rules on one machine: no disk is given to two of them, and what stands in the way is named."""

import pytest

from metal.planning.disks import Refusal
from metal.planning.report import hardware_markdown
from metal.planning.storage import Storage, Target, choose_storage
from specs.facts import Disk, Hardware, Nic, RaidArray
from specs.model import Host

DISKS = tuple(
    Disk(device=f"/dev/sd{n}", serial=f"S{n}", size_bytes=10**12, transport="sas", medium="hdd")
    for n in range(6)
)


def choose(spec: dict[str, object], *, raids: tuple[RaidArray, ...] = ()) -> Storage:
    host = Host.model_validate({"metadata": {"name": "h"}, **spec})
    return choose_storage(host, Hardware(disks=DISKS, raids=raids), {})


def volume(name: str, level: str, count: int, **drives: object) -> dict[str, object]:
    return {"name": name, "level": level, "drives": {"count": count, **drives}}


def names(target: Target | Refusal | None) -> list[str | None]:
    assert isinstance(target, Target), target
    return [disk.serial for disk in target.disks]


def test_volumes_with_equal_rules_get_different_drives_in_the_specs_order() -> None:
    spec = {
        "raid": [volume("a", "raid1", 2), volume("b", "raid5", 3)],
        "rootDevice": {"raid": "a"},
        "disks": [{"device": {"raid": "b"}}],
    }
    found = choose(spec)
    assert names(found.root) == ["S0", "S1"]
    assert names(found.layouts[0][1]) == ["S2", "S3", "S4"]
    assert found.refusals == {}


def test_a_disk_that_a_rule_names_is_kept_from_the_volumes_and_the_rest_may_be_one() -> None:
    spec = {
        "raid": [volume("a", "raid10", 4)],
        "rootDevice": {"serial": "S0"},
        "disks": [{"device": {"media": "hdd"}}],
    }
    found = choose(spec)
    assert names(found.root) == ["S0"]
    assert [disk.serial for disk in found.volumes[0].members] == ["S1", "S2", "S3", "S4"]
    assert names(found.layouts[0][1]) == ["S5"]


def test_two_rules_never_share_a_disk() -> None:
    found = choose({"rootDevice": {"serial": "S0"}, "disks": [{"device": {"serial": "S0", "media": "hdd"}}]})
    assert found.refusals["disks[0].device"].reason == "no-matching-disk"
    assert "[used by another rule]" in found.refusals["disks[0].device"].message


def test_a_volume_stays_on_the_drives_that_it_has() -> None:
    array = RaidArray(
        name="a", driver="md", uuid="u", level="raid1", device=None, size_bytes=1, members=("S3", "S5")
    )
    found = choose({"raid": [volume("a", "raid1", 2)], "rootDevice": {"raid": "a"}}, raids=(array,))
    assert names(found.root) == ["S3", "S5"]
    wider = choose({"raid": [volume("a", "raid1", 3)], "rootDevice": {"raid": "a"}}, raids=(array,))
    assert names(wider.root) == ["S3", "S5", "S0"]
    assert wider.removed == (array,)


def test_an_array_of_the_volumes_name_on_other_disks_is_not_broken() -> None:
    array = RaidArray(
        name="a", driver="md", uuid="u", level="raid1", device=None, size_bytes=1, members=("S4", "S5")
    )
    drives = {"serials": ["S0", "S1"]}
    found = choose({"raid": [volume("a", "raid1", 2, **drives)], "rootDevice": {"raid": "a"}}, raids=(array,))
    assert found.refusals["raid:a"].reason == "foreign-content"
    assert "/dev/sd4 S4" in found.refusals["raid:a"].message


@pytest.mark.parametrize("level", ["raid0", "raid5", "jbod"])
def test_software_raid_makes_no_such_root(level: str) -> None:
    found = choose({"raid": [volume("a", level, 3)], "rootDevice": {"raid": "a"}})
    assert found.refusals["raid[0]"].reason == "layout-impossible"
    assert found.root is None


def test_hardware_is_shown_with_what_is_unknown() -> None:
    hardware = Hardware(
        serial="S|1",
        disks=DISKS[:1],
        nics=(Nic(name="eth0", mac="52:54:00:00:00:01", link=True, speed_mbps=1000),),
    )
    text = hardware_markdown(hardware, {"bmc": "no /dev/ipmi0"})
    assert "| serial | S\\|1 |" in text
    assert "| eth0 | 52:54:00:00:00:01 | up, 1000 Mb/s | unknown |  |" in text
    assert "| /dev/sd0 | S0 | 931 GiB | sas, hdd |  | blank |" in text
    assert "- bmc is not known: no /dev/ipmi0" in text


@pytest.mark.parametrize("gib", [1000, 995])
def test_an_array_is_no_larger_than_its_spare_can_hold(gib: int) -> None:
    """So mdadm makes it: partitions must fit whatever it takes for its size."""
    disks = tuple(
        Disk(device=f"/dev/sd{n}", serial=f"S{n}", size_bytes=size << 30)
        for n, size in enumerate((1000, 1000, gib))
    )
    host = Host.model_validate({"metadata": {"name": "h"}, "raid": [volume("a", "raid1", 2) | {"spares": 1}]})
    (made,) = choose_storage(host, Hardware(disks=disks), {}).volumes
    assert [disk.serial for disk in made.spares] == ["S2"]
    assert (gib - 2) << 30 < made.size_bytes < gib << 30
