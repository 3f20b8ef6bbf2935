"""The witness tells what must never be from what may be; each rule has a console that breaks it."""

import pytest

from lab.witness import commands, untold, violations

KERNEL = "[    0.000000] Linux version 6.1.0\n"


def console(*lines: str) -> str:
    """A console with noise around rf-exec's lines, as it is."""
    return "".join(f"noise rf-exec: {line}\r\n" if line != KERNEL else line for line in lines)


def test_a_life_without_a_fault_breaks_nothing() -> None:
    text = console(
        KERNEL,
        "epoch=1 step=1-bmc-1-7210f0da-0 start ipmitool",
        "epoch=1 step=1-bmc-1-7210f0da-0 exit=0",
        "epoch=2 step=2-partition-RF-M1-D0-f31ad498-1 start sgdisk",
        "epoch=2 step=2-partition-RF-M1-D0-f31ad498-1 exit=0",
        "epoch=2 step=2-partition-RF-M1-D0-f31ad498-2 start e2fsck",
        "epoch=2 step=2-partition-RF-M1-D0-f31ad498-2 exit=0",
    )

    seen = commands(text)

    assert [(one.job, one.step, one.program, one.status) for one in seen] == [
        (1, "bmc-1", "ipmitool", 0),
        (2, "partition-RF-M1-D0", "sgdisk", 0),
        (2, "partition-RF-M1-D0", "e2fsck", 0),
    ]
    assert violations(seen) == []


def test_a_command_that_a_power_cut_ended_may_start_again() -> None:
    text = console(
        KERNEL,
        "epoch=2 step=2-partition-D0-f31ad498-1 start sgdisk",
        KERNEL,
        "epoch=3 step=2-partition-D0-0a0a0a0a-1 start sgdisk",
        "epoch=3 step=2-partition-D0-0a0a0a0a-1 exit=0",
    )

    assert violations(commands(text)) == []


def test_a_higher_epoch_may_start_where_it_ended_the_lower_one() -> None:
    text = console(
        "epoch=2 step=2-write-image-f31ad498-0 start rf-write",
        "epoch=3 step=2-write-image-0a0a0a0a-0 start rf-write",
    )

    assert violations(commands(text)) == []


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        (
            "epoch 2 started sgdisk of partition-D0 after epoch 3 had",
            (
                "epoch=3 step=2-mkfs-db-0a0a0a0a-0 start mkfs.ext4",
                "epoch=3 step=2-mkfs-db-0a0a0a0a-0 exit=0",
                "epoch=2 step=2-partition-D0-f31ad498-1 start sgdisk",
            ),
        ),
        (
            "sgdisk of partition-D0 started while rf-write of write-image ran",
            (
                "epoch=2 step=2-write-image-f31ad498-0 start rf-write",
                "epoch=2 step=2-partition-D0-f31ad498-1 start sgdisk",
            ),
        ),
        (
            "rf-write of write-image, epoch 2, ended after epoch 3 began",
            (
                "epoch=2 step=2-write-image-f31ad498-0 start rf-write",
                "epoch=3 step=2-write-image-0a0a0a0a-0 start rf-write",
                "epoch=2 step=2-write-image-f31ad498-0 exit=0",
            ),
        ),
        (
            "mkfs.ext4 of step mkfs-db of job 2 was finished and is done again",
            (
                "epoch=2 step=2-mkfs-db-f31ad498-0 start mkfs.ext4",
                "epoch=2 step=2-mkfs-db-f31ad498-0 exit=0",
                "epoch=3 step=2-mkfs-db-0a0a0a0a-0 start mkfs.ext4",
            ),
        ),
    ],
)
def test_each_rule_is_broken_by_a_console(said: str, lines: tuple[str, ...]) -> None:
    assert violations(commands(console(KERNEL, *lines))) == [said]


def test_a_console_that_told_nothing_is_no_witness() -> None:
    lines = (
        "epoch=2 step=2-write-image-f31ad498-0 start rf-write",
        "epoch=2 step=2-write-image-f31ad498-0 exit=74",
    )
    seen = commands(console(KERNEL, *lines))
    assert untold(seen, ("rf-write",)) == ["the console tells of no rf-write that ended well"]
    cut = commands(console(KERNEL, lines[0], KERNEL, "epoch=3 step=2-fence-0a0a0a0a-0 start true"))
    assert untold(cut, ("rf-write",)) == [], "the end's line went with the power"
    ended = commands(console(KERNEL, lines[0], lines[1].replace("74", "0")))
    assert untold(ended, ("rf-write",)) == []
