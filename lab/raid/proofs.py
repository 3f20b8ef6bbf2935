"""What is proven of each RAID family, how, and by which test: the table of docs/raid.md is made of it.

`how`: *capture* is a tool's real output; *emulator* the tool of this folder, in process, with its driver or
with planner and engine; *virtual machine* the same tool in a machine of the rack, which starts from
its volumes; *kernel device* an array of a real kernel. Nothing here was seen on hardware.
"""

from dataclasses import dataclass
from typing import Final, Literal

How = Literal["capture", "emulator", "virtual machine", "kernel device"]
MEGARAID: Final = ("raid0", "raid1", "raid5", "raid6", "raid10", "raid50", "raid60")
IR: Final = ("sas2ircu", "sas3ircu")
PAIRED: Final = ("storcli2", "megacli", "ssacli", *IR, "arcconf")
"""Families but storcli that make a RAID 10."""
OTHERS: Final = (*PAIRED, "mvcli")
WALKS: Final = "tests/metal/engine/test_raid_families.py"


@dataclass(frozen=True, slots=True)
class Proof:
    """One operation of some families. `levels` are those that the test makes; empty where it makes none."""

    families: tuple[str, ...]
    operation: str
    levels: tuple[str, ...]
    how: How
    test: str
    """File and function."""


MIXED: Final = ("raid0", "raid1", "raid5", "raid6", "raid10", "raid50", "jbod")
ANY_ORDER: Final = "any sequence of makes, deletes, faults and nonsense"
DIRTY: Final = "whole installation on a dirty controller, and a second plan that makes nothing"
BY_DRIVER: Final = "makes, deletes, prepares, starts from"
EVERY_MOMENT: Final = "run, machine or both die at every moment"
EACH_COMMAND: Final = "run dies around each command to the controller"
RACK: Final = "tests/rack/test_raid.py"
LIFE: Final = "dirty drives to a system that starts, zero writes after, a failed drive is drift"
CONSENTED: Final = "another level asks for consent, then happens"
CAPTURES: Final = "tests/metal/drivers/parse/test_captures.py::test_it_is_read_as_expected"

PROOFS: Final = (
    Proof(("storcli", *OTHERS, "md"), "reads", (), "capture", CAPTURES),
    Proof(("storcli", "storcli2"), ANY_ORDER, ("raid0", "raid1", "raid5", "jbod"), "emulator",
          "tests/lab/raid/test_storcli_any_order.py::Commands"),
    Proof(("megacli",), BY_DRIVER, MEGARAID, "emulator",
          "tests/lab/raid/test_megacli.py::test_every_level_with_a_spare_that_is_kept_for_it"),
    Proof(("megacli",), ANY_ORDER, MIXED, "emulator",
          "tests/lab/raid/test_megacli.py::Commands"),
    Proof(("ssacli",), ANY_ORDER, (*MIXED, "raid1adm"), "emulator",
          "tests/lab/raid/test_ssacli.py::Commands"),
    Proof(IR, ANY_ORDER, ("raid0", "raid1", "raid1e", "raid10", "jbod"), "emulator",
          "tests/lab/raid/test_ircu.py::Commands"),
    Proof(("mvcli",), ANY_ORDER, ("raid0", "raid1", "jbod"), "emulator",
          "tests/lab/raid/test_mvcli.py::Commands"),
    Proof(("arcconf",), BY_DRIVER, (*MEGARAID, "raid1adm", "raid10adm"), "emulator",
          "tests/lab/raid/test_arcconf.py::test_every_level_with_a_spare_that_is_kept_for_it"),
    Proof(("arcconf",), ANY_ORDER, MIXED, "emulator",
          "tests/lab/raid/test_arcconf.py::Commands"),
    Proof(("storcli", *PAIRED), DIRTY, ("raid10",), "emulator",
          f"{WALKS}::test_a_dirty_controller_becomes_what_the_spec_asks_and_stays_so"),
    Proof(("mvcli",), DIRTY, ("raid1",), "emulator",
          f"{WALKS}::test_a_dirty_controller_becomes_what_the_spec_asks_and_stays_so"),
    Proof(("storcli",), EVERY_MOMENT, ("raid10",), "emulator",
          f"{WALKS}::test_megaraid_converges_whatever_dies_when"),
    Proof(("ssacli",), EVERY_MOMENT, ("raid1",), "emulator",
          "tests/metal/engine/test_dies_anywhere.py::test_what_follows_a_death_converges_and_repeats_nothing"),
    Proof(PAIRED, EACH_COMMAND, ("raid10",), "emulator",
          f"{WALKS}::test_a_run_that_dies_at_a_controllers_command_converges"),
    Proof(("mvcli",), EACH_COMMAND, ("raid1",), "emulator",
          f"{WALKS}::test_a_run_that_dies_at_a_controllers_command_converges"),
    Proof(("storcli", *OTHERS), "tells slot and serial of a drive that failed", ("raid1",), "emulator",
          "tests/metal/engine/test_raid_health.py::test_a_drive_that_fails_is_told_by_slot_and_serial"),
    Proof(("storcli", "megacli", "sas3ircu", "arcconf"), "gives a standing volume the spare that it lacks",
          ("raid10",), "emulator",
          "tests/metal/engine/test_hardware_raid.py::test_a_standing_volume_gets_the_spare_that_it_lacks_and_stays"),
    Proof(("storcli",), "stands beside another family in one machine", ("raid10",), "emulator",
          f"{WALKS}::test_controllers_of_several_families_stand_in_one_machine"),
    Proof(("mvcli",), "stands beside another family in one machine", ("raid1",), "emulator",
          f"{WALKS}::test_controllers_of_several_families_stand_in_one_machine"),
    Proof(("ssacli", "storcli", "sas3ircu", "mvcli"), LIFE, ("raid1",), "virtual machine",
          f"{RACK}::test_a_failed_drive_is_drift_with_its_slot_and_serial"),
    Proof(("ssacli", "storcli", "sas3ircu"), CONSENTED, ("raid1", "raid10"), "virtual machine",
          f"{RACK}::test_raid_10_instead_of_a_mirror_asks_for_consent_and_then_happens"),
    Proof(("md",), f"{LIFE}; a volume group and an encrypted volume on it", ("raid1",), "kernel device",
          f"{RACK}::test_a_failed_drive_is_drift_with_its_slot_and_serial"),
    Proof(("md",), CONSENTED, ("raid1", "raid10"), "kernel device",
          f"{RACK}::test_raid_10_instead_of_a_mirror_asks_for_consent_and_then_happens"),
    Proof(("md",), "makes, and starts from", ("raid1",), "kernel device",
          "tests/rack/test_power_on.py::test_a_uefi_machine_gets_its_root_on_a_mirror"),
    Proof(("md",), "makes; the power is cut", ("raid1",), "kernel device",
          "tests/rack/test_reliability_mirror.py::test_a_mirror_outlives_a_power_cut"),
    Proof(("md",), EVERY_MOMENT, ("raid1",), "emulator",
          "tests/metal/engine/test_dies_anywhere.py::test_what_follows_a_death_converges_and_repeats_nothing"),
)  # fmt: skip
