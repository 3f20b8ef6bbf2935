"""Erasing a disk: by its method, attested, after what holds the disk was taken down."""

import pytest

from metal.errors import Refused, Unparsable
from metal.planning.plan import Destroyed
from metal.protocols import Output
from metal.testing.wipe_report import wipe_report
from tests.metal.engine.test_steps import DISK, GIB, plan_of, run, step

ASKED = ("rf-wipe", "--method", "sanitize", "--disk", "RF-D0", "--size-bytes", "1")
OF_OTHER = wipe_report([*ASKED[:4], "RF-D1", *ASKED[5:]])
BY_OTHER = wipe_report([*ASKED[:2], "metadata", *ASKED[3:]])


def test_a_wiped_disk_whose_old_partitions_the_kernel_keeps_is_read_again(rig):
    rig.machine.disks["RF-D0"]["parts"] = {1: {"size": GIB, "start": 2048, "fstype": "ext4"}}
    plan = plan_of(step("wipe", {"target": DISK, "method": "metadata"}, destructive=True))
    assert run(rig, plan)[0].writes == 2
    wipe, reread = (sent.change for sent in rig.machine.sent)
    assert wipe.argv[:5] == ("/usr/lib/rackflow/rf-wipe", "--method", "metadata", "--disk", "RF-D0")
    assert (wipe.disks[0].identity, wipe.disks[0].mode) == ("RF-D0", "hold")
    assert reread.argv[:2] == ("blockdev", "--rereadpt")


def test_a_wipe_that_is_asked_for_and_not_known_is_refused_not_weakened(rig):
    rig.machine.disks["RF-D0"]["parts"] = {1: {"size": GIB, "start": 2048}}
    with pytest.raises(Refused, match="shred is not known"):
        run(rig, plan_of(step("wipe", {"target": DISK, "method": "shred"}, destructive=True)))
    assert rig.machine.sent == []


@pytest.mark.parametrize("method", ["discard", "sanitize", "overwrite"])
def test_an_erasing_is_attested_in_the_journal_also_of_a_disk_that_shows_nothing(rig, method):
    plan = plan_of(step("wipe", {"target": DISK, "method": method}, destructive=True))
    outcome = run(rig, plan)[0]
    assert outcome.changed
    report = rig.edge.rows[-1].detail["wipe"]
    assert report == outcome.reported["wipe"]
    assert (report["identity"], report["method"], report["proven"]) == ("RF-D0", method, True)
    assert run(rig, plan)[0].writes == 0, "done before"


@pytest.mark.parametrize(
    ("status", "told", "says"),
    [
        (65, "", "ended with 65: it is frozen"),
        (66, "", "ended with 66: it is frozen"),
        (0, "", "rf-wipe's report could not be read: ''"),
        (0, '{"identity": "RF-D0", "proven": "perhaps"}\n', "rf-wipe's report could not be read: '{"),
        (0, OF_OTHER, "was asked for RF-D0 (sanitize), and reports RF-D1 (sanitize)"),
        (0, BY_OTHER, "was asked for RF-D0 (sanitize), and reports RF-D0 (metadata)"),
    ],
)
def test_an_erasing_that_is_not_attested_is_none(rig, status, told, says):
    rig.machine.on_change = lambda change: Output(change.argv, status, told, "it is frozen" if status else "")
    with pytest.raises((Refused, Unparsable)) as caught:
        run(rig, plan_of(step("wipe", {"target": DISK, "method": "sanitize"}, destructive=True)))
    assert says in str(caught.value)
    assert caught.value.reason == {65: "wipe-impossible", 66: "step-failed", 0: "unparsable"}[status]
    assert [row.phase for row in rig.edge.rows][-1] == "failed"


def test_what_holds_a_disk_is_taken_down_before_it_is_erased_among_the_disks_of_the_plan(rig):
    rig.machine.disks["RF-D0"] |= {"holders": ["dm-0"], "signature": "LVM2_member"}
    erased = Destroyed(serial="RF-D1", size_bytes=8 * GIB, found="ext4")
    other = step("mkfs", {"target": DISK}, id="other", destructive=True, destroys=(erased,))
    plan = plan_of(step("wipe", {"target": DISK, "method": "metadata"}, destructive=True), other)
    assert run(rig, plan, "wipe")[0].writes == 2
    release, wipe = (sent.change for sent in rig.machine.sent)
    assert release.argv[1:] == ("--release", "RF-D0", "--among", "RF-D0,RF-D1")
    assert wipe.argv[1] == "--method"
    assert rig.machine.disks["RF-D0"]["signature"] is None
