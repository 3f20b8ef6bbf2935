"""`rackflow wipe` on a simulated mirror, with worker and then edge killed in the middle of an erasing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
DISKS = ["SIM-02-D0", "SIM-02-D1"]
PIECES = 8

pytestmark = [pytest.mark.prefect, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def wiped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What came of it; one wipe is looked at by all tests here."""
    data = tmp_path_factory.mktemp("wipe")
    argv = [sys.executable, "-m", "lab.sim", "wipe", "--data", str(data)]
    done = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-3000:]}"
    report: dict[str, Any] = json.loads((data / "wipe.json").read_text())
    return report


def test_it_goes_on_over_both_deaths_to_a_ready_host_with_blank_disks(wiped: dict[str, Any]) -> None:
    assert wiped["killed"]["worker+run"] >= 2
    assert wiped["killed"]["edge"] == 1
    assert (wiped["job"]["state"], wiped["job"]["result"], wiped["phase"]) == ("done", "applied", "ready")
    assert wiped["blank"] == [True, True]


def test_nothing_is_erased_before_a_person_consents_nor_gone_on_with_after_a_kill(
    wiped: dict[str, Any],
) -> None:
    """Of the installation, of the wipe, and of the erasing that a kill cut."""
    assert wiped["consents"] >= 3
    assert (wiped["unasked"], wiped["held"], wiped["unasked again"]) == (0, [True, True], 0)
    assert wiped["asked again"].startswith(f"wipe:{DISKS[0]} was begun at ")
    assert wiped["asked again"].endswith(f"and cut; waits for consent to erase {', '.join(DISKS)}")


def test_no_piece_of_a_disk_is_erased_twice(wiped: dict[str, Any]) -> None:
    """The run that goes on ends the first disk's erasing at its third piece, and goes on from there."""
    assert wiped["violations"] == []
    first = [(how, wrote) for (disk,), how, wrote in wiped["erasings"] if disk.startswith(DISKS[0])]
    second = [wrote for (disk,), _, wrote in wiped["erasings"] if disk.startswith(DISKS[1])]
    assert (first[0], first[-1][0]) == (("fenced", 3), "done")
    assert sum(wrote for _, wrote in first) == sum(second) == PIECES


def test_each_disk_has_its_report(wiped: dict[str, Any]) -> None:
    told = [(one["identity"], one["method"], one["how"], one["proven"]) for one in wiped["wipes"]]
    how = "zeros written to every block"
    cut = f"{how}; gone on with at byte {3 * (8 << 30) // PIECES}"
    assert told == [(DISKS[0], "overwrite", cut, True), (DISKS[1], "overwrite", how, True)]
    assert all(f"{disk}\t8 GiB\toverwrite\tzeros written" in wiped["shown"] for disk in DISKS)
    assert all(f"{disk} 8 GiB: linux_raid_member" in wiped["shown"] for disk in DISKS), (
        "the plan says what goes"
    )
