"""The witness finds each planted fault, and nothing in what may be."""

import pytest

from lab.sim.witness import Row, violations

IMAGE = "rf-write --manifest http://edge/m"
WIPE = "rf-wipe --method overwrite --disk D0"
TABLE = "sgdisk --move-second-header {disk0}"


def started(step: str, command: str, *, epoch: int = 1, boot: int = 1) -> Row:
    return Row(0.0, "m1", boot, "start", epoch, step, command, ("D0",))


def ended(step: str, command: str, *, epoch: int = 1, boot: int = 1, exit_: int = 0, wrote: int = 0) -> Row:
    return Row(0.0, "m1", boot, "end", epoch, step, command, ("D0",), exit_, "done", wrote)


def ran(step: str, command: str, *, epoch: int = 1, boot: int = 1, wrote: int = 0) -> list[Row]:
    both = {"epoch": epoch, "boot": boot}
    return [started(step, command, **both), ended(step, command, **both, wrote=wrote)]


def test_a_life_with_a_death_in_every_stage_breaks_nothing() -> None:
    cut = [started("2-write-image-aaaaaaaa-1", IMAGE), ended("2-write-image-aaaaaaaa-1", IMAGE, exit_=137)]
    rows = [
        *ran("1-bmc-1-aaaaaaaa-0", "ipmitool exec"),
        *cut,
        *ran("2-write-image-bbbbbbbb-0", IMAGE, epoch=2, boot=2, wrote=9),
        *ran("2-write-image-cccccccc-0", IMAGE, epoch=3, boot=2, wrote=0),
        *ran("2-write-image-dddddddd-0", IMAGE, epoch=4, boot=3, wrote=0),
        *ran("2-partition-D0-dddddddd-1", TABLE, epoch=4, boot=3),
        *ran("2-wipe-D0-dddddddd-2", WIPE, epoch=4, boot=3, wrote=8),
        *ran("2-wipe-D0-eeeeeeee-0", WIPE, epoch=5, boot=3, wrote=0),
        Row(0.0, "m1", 3, "power", command="cycle", how="lan"),
        *ran("3-partition-D0-eeeeeeee-0", TABLE, epoch=6, boot=4),
    ]

    assert violations(rows) == []


@pytest.mark.parametrize(
    ("planted", "rows"),
    [
        (
            "sgdisk of 2-partition-D0-aaaaaaaa-2 (epoch 1, boot 1) started while rf-write of",
            [
                started("2-write-image-aaaaaaaa-1", IMAGE),
                started("2-partition-D0-aaaaaaaa-2", TABLE),
            ],
        ),
        (
            "sgdisk of 2-partition-D0-aaaaaaaa-2 (epoch 1, boot 2) started after rf-write of",
            [
                *ran("2-write-image-bbbbbbbb-1", IMAGE, epoch=2),
                *ran("2-partition-D0-aaaaaaaa-2", TABLE, epoch=1, boot=2),
            ],
        ),
        (
            "mount of 2-fstab-aaaaaaaa-3 (epoch 1, boot 1) by a writer that another had taken over from",
            [
                *ran("2-write-image-aaaaaaaa-1", IMAGE),
                *ran("2-partition-D0-bbbbbbbb-1", TABLE),
                *ran("2-fstab-aaaaaaaa-3", "mount /dev/sda1"),
            ],
        ),
        (
            "sgdisk of 2-partition-D0-bbbbbbbb-1 (epoch 2, boot 2) was finished",
            [
                *ran("2-partition-D0-aaaaaaaa-1", TABLE),
                *ran("2-partition-D0-bbbbbbbb-1", TABLE, epoch=2, boot=2),
            ],
        ),
        (
            "rf-write of 2-write-image-bbbbbbbb-1 (epoch 2, boot 2) was finished",
            [
                *ran("2-write-image-aaaaaaaa-1", IMAGE, wrote=9),
                *ran("2-write-image-bbbbbbbb-1", IMAGE, epoch=2, boot=2, wrote=1),
            ],
        ),
        (
            "rf-wipe of 2-wipe-D0-bbbbbbbb-1 (epoch 2, boot 2) was finished",
            [
                *ran("2-wipe-D0-aaaaaaaa-1", WIPE, wrote=8),
                *ran("2-wipe-D0-bbbbbbbb-1", WIPE, epoch=2, boot=2, wrote=8),
            ],
        ),
        (
            "power cycle over the LAN while sgdisk of 2-partition-D0-aaaaaaaa-1",
            [
                started("2-partition-D0-aaaaaaaa-1", TABLE),
                Row(0.0, "m1", 1, "power", command="cycle", how="lan"),
            ],
        ),
    ],
    ids=[
        "two writers",
        "an older after a newer",
        "two in turns",
        "a step again",
        "an image again",
        "an erasing again",
        "power",
    ],
)
def test_each_planted_fault_is_found(planted: str, rows: list[Row]) -> None:
    found = violations(rows)

    assert len(found) == 1
    assert planted in found[0]
