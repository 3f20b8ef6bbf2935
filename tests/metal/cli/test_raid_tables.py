"""What `rackflow host NAME` shows of RAID: volumes with their state, drives by slot and serial."""

from metal.cli.raid_tables import show_raid
from specs.facts import ControllerCondition, Hardware, PhysicalDrive, RaidArray, RaidController

PCI = "0000:5e:00.0"


def test_volumes_controllers_and_drives_are_listed(capsys):
    drives = (
        PhysicalDrive(address="252:0", serial="A", state="online", size_bytes=8 << 30),
        PhysicalDrive(address="252:1", serial="B", state="rebuilding", progress=12.5),
    )
    told = (ControllerCondition(kind="predictive-failure", text="252:0: failure predicted"),)
    card = RaidController(driver="storcli", pci=PCI, model="PERC H730", drives=drives, conditions=told)
    blind = RaidController(driver="mvcli", pci="0000:01:00.0", problem="tool missing: mvcli")
    volume = RaidArray(
        name="data", driver="storcli", uuid="6001", level="raid1", device="/dev/sda", size_bytes=8 << 30,
        members=("A", "B"), state="rebuilding", progress=12.5, controller=PCI,
    )  # fmt: skip
    show_raid(Hardware(raids=(volume,), controllers=(card, blind)))
    said = capsys.readouterr().out
    assert f"data\traid1\trebuilding (12.5 %)\t8 GiB\t/dev/sda\tA B\t{PCI}\n" in said
    assert f"controller PERC H730 at {PCI}: state not told; 252:0: failure predicted" in said
    assert "252:0\tA\t8 GiB\tunknown\t\tonline, about to fail\tdata\n" in said
    assert "252:1\tB\t\tunknown\t\trebuilding (12.5 %)\tdata\n" in said
    assert "controller mvcli at 0000:01:00.0: tool missing: mvcli" in said


def test_a_machine_without_raid_shows_nothing(capsys):
    show_raid(Hardware())
    assert capsys.readouterr().out == ""
