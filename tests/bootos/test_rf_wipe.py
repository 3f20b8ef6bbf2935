"""rf-wipe on files in place of disks: what is gone, what is proven, and what a kill costs."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootos import rf_wipe
from bootos.rf_erase import HEAD_BYTES, MIB, PLACES, Note, Range, ranges
from bootos.rf_target import BLOCK_BYTES, Target, WriteError
from bootos.rf_wipe import Wipe

GIB = 1 << 30
SIZE = 40 * MIB
STALE = b"stale\xaa" * 1024


class Kill(BaseException):
    """The machine loses its power."""


class NoDrive:
    """A drive that can do nothing of itself, unless a test says so."""

    ways: tuple[str, ...] = ()
    stuck: str | None = None
    promises = False
    at_it = False
    erases: Callable[[], None] = staticmethod(lambda: None)

    def way(self) -> str | None:
        return next(iter(self.ways), None)

    def problem(self) -> str | None:
        return self.stuck

    def zeroes_after_discard(self) -> bool:
        return self.promises

    def is_erasing(self) -> bool:
        return self.at_it

    def erase(self, way: str | None, *, going_on: bool, tell: Callable[[float], None]) -> None:
        self.erases()
        tell(0.5)


class Disk:
    """A file, full of what nobody wants any more."""

    def __init__(self, path: Path, size_bytes: int = SIZE) -> None:
        self.path, self.size_bytes = path, size_bytes
        path.write_bytes((STALE * (size_bytes // len(STALE) + 1))[:size_bytes])
        self.drive = NoDrive()
        self.writes = 0
        self.die_at: int | None = None
        self.order: list[int] = []
        self.keeps_discarded = False

    def wipe(self, name: str = "job", method: str = "overwrite", partitions: tuple[Range, ...] = ()) -> Wipe:
        fd = os.open(self.path, os.O_RDWR)
        target = Target(fd, self.size_bytes, block_device=False)
        plain_write, plain_zero = target.write, target.zero

        def write(buffer: Any, length: int, offset: int) -> None:
            self.count(offset)
            plain_write(buffer, length, offset)

        def zero(start: int, length: int) -> None:
            self.count(start)
            plain_zero(start, length)

        target.write, target.zero = write, zero  # type: ignore[method-assign]
        if self.keeps_discarded:
            target.discard = lambda _start, _length: None  # type: ignore[method-assign]
        key = f"{name} {method}"
        drive: Any = self.drive
        return Wipe(target, drive, list(partitions), key=key, tell=lambda _told: None)

    def count(self, offset: int) -> None:
        if self.die_at is not None and self.writes >= self.die_at:
            raise Kill
        self.writes += 1
        self.order.append(offset)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "disk")


@pytest.fixture(autouse=True)
def _note_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rf_wipe, "NOTE_EVERY_S", -1.0)


def test_every_place_of_a_signature_is_zeroed_and_nothing_else(tmp_path: Path) -> None:
    path, size = tmp_path / "disk", 1100 * GIB + 5 * BLOCK_BYTES
    part = Range(300 * MIB, 300 * GIB)
    bystander = 50 * MIB
    marks = [Range(0, size), part]
    with path.open("wb") as stream:
        stream.truncate(size)
        for region in marks:
            for place in PLACES:
                first = region.length - place.first if place.from_end else place.first
                for at in (first, first + place.length - 8):
                    if at + 8 <= region.length:
                        stream.seek(region.first + at)
                        stream.write(b"SIGNATUR")
        stream.seek(bystander)
        stream.write(b"STAYS")
    with path.open("r+b") as stream:
        target = Target(stream.fileno(), size, block_device=False)
        drive: Any = NoDrive()
        report = Wipe(target, drive, [part], key="", tell=lambda _told: None).metadata()
        for region in marks:
            for place in PLACES:
                first = region.length - place.first if place.from_end else place.first
                for at in (first, first + place.length - 8):
                    if at + 8 <= region.length:
                        stream.seek(region.first + at)
                        assert stream.read(8) == bytes(8), (region, place)
        stream.seek(bystander)
        assert stream.read(5) == b"STAYS"
    assert (report["proven"], report["samples"]) == (True, report["zero_samples"])


MAKERS = {
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "swap": ("mkswap", "-q"),
    "vfat": ("mkfs.vfat",),
    "btrfs": ("mkfs.btrfs", "-q", "-f"),
    "gpt": ("sgdisk", "--clear", "--new=1:2048:4095"),
    "mbr": ("sh", "-c", 'echo "2048,2048,83" | sfdisk --quiet --label dos "$0"'),
    "luks2": ("cryptsetup", "luksFormat", "--batch-mode", "--type=luks2", "--pbkdf=pbkdf2",
              "--pbkdf-force-iterations=1000", "--key-file=/proc/version"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MAKERS)
def test_what_real_tools_made_util_linux_finds_no_more(kind: str, tmp_path: Path) -> None:
    if shutil.which(MAKERS[kind][0]) is None or shutil.which("wipefs") is None:
        pytest.skip(f"{MAKERS[kind][0]} is not here")
    path = tmp_path / "disk"
    path.write_bytes(b"")
    os.truncate(path, 400 * MIB)
    subprocess.run([*MAKERS[kind], str(path)], check=True, capture_output=True)
    listed = ["wipefs", "--no-act", "--noheadings", str(path)]
    assert subprocess.run(listed, check=True, capture_output=True).stdout
    with path.open("r+b") as stream:
        target = Target(stream.fileno(), 400 * MIB, block_device=False)
        drive: Any = NoDrive()
        Wipe(target, drive, [], key="", tell=lambda _told: None).metadata()
    assert not subprocess.run(listed, check=True, capture_output=True).stdout


def test_partitions_go_first_and_the_table_last(disk: Disk) -> None:
    part = Range(18 * MIB, 8 * MIB)
    disk.wipe(partitions=(part,)).metadata()
    assert disk.order[:2] == [part.first, part.first + 7 * MIB]
    assert disk.order[-1] == 0
    outside = Range(SIZE - MIB, 8 * MIB)
    assert ranges(SIZE, [outside]) == ranges(SIZE, []), "a table that lies is not followed"


def test_an_overwriting_goes_on_after_each_death_and_writes_nothing_twice(tmp_path: Path) -> None:
    whole = Disk(tmp_path / "whole")
    whole.wipe().overwrite()
    for moment in range(whole.writes):
        disk = Disk(tmp_path / "disk")
        disk.die_at = moment
        with pytest.raises(Kill):
            disk.wipe().overwrite()
        disk.die_at = None
        report = disk.wipe().overwrite()
        assert report["proven"]
        assert disk.path.read_bytes().replace(*noted(disk)) == bytes(SIZE)
        assert disk.writes <= whole.writes + 2, f"died before write {moment}: much was written again"


def test_the_report_of_an_overwriting_that_was_cut_says_from_where_its_times_count(disk: Disk) -> None:
    disk.die_at = 8
    with pytest.raises(Kill):
        disk.wipe().overwrite()
    disk.die_at = None
    how = str(disk.wipe().overwrite()["how"])
    begun, _, position = how.rpartition(" ")
    assert begun == "zeros written to every block; gone on with at byte"
    assert 0 < int(position) < SIZE


def test_a_short_overwriting_leaves_nothing_where_its_note_has_room(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends before a first note was due, and writes one of the two copies."""
    monkeypatch.setattr(rf_wipe, "NOTE_EVERY_S", 1e9)
    assert disk.wipe().overwrite()["proven"]
    assert STALE[:16] not in disk.path.read_bytes()


def noted(disk: Disk) -> tuple[bytes, bytes]:
    place = Note(Target(0, SIZE, block_device=False), "x").place
    with disk.path.open("rb") as stream:
        stream.seek(place.first)
        return stream.read(place.length), bytes(place.length)


def test_what_was_overwritten_under_this_name_is_sampled_and_not_written_again(disk: Disk) -> None:
    disk.wipe().overwrite()
    disk.writes = 0
    report = disk.wipe().overwrite()
    assert (report["proven"], report["how"]) == (True, "zeros written to every block, by an earlier start")
    assert disk.writes == 1, "only the note"
    disk.wipe(name="another job").overwrite()
    assert disk.writes > 10


@pytest.mark.parametrize("torn", [b"\xff" * BLOCK_BYTES, b"rackflow rf-wipe " + b"0" * 64 + b" 9 00000000\n"])
def test_a_torn_note_costs_one_step_or_all_and_is_never_believed(disk: Disk, torn: bytes) -> None:
    note = Note(Target(os.open(disk.path, os.O_RDWR), SIZE, block_device=False), "job overwrite")
    note.put(8 * MIB)
    note.put(12 * MIB)
    with disk.path.open("r+b") as stream:
        os.pwrite(stream.fileno(), torn, note.place.first + BLOCK_BYTES)
        assert note.read() == 8 * MIB
        os.pwrite(stream.fileno(), torn, note.place.first)
    assert note.read() is None
    assert disk.wipe().overwrite()["proven"]


def test_a_disk_that_takes_writes_and_keeps_what_it_had_is_told(disk: Disk) -> None:
    wipe = disk.wipe()
    wipe.target.write = lambda _buffer, _length, _offset: None  # type: ignore[method-assign]
    with pytest.raises(WriteError, match=r"64 of 64 samples are not zero: at byte 0,") as caught:
        wipe.overwrite()
    assert caught.value.code == 66


def test_a_discard_is_proven_where_zeros_are_promised_and_only_told_where_not(disk: Disk) -> None:
    disk.keeps_discarded = True
    report = disk.wipe(method="discard").discard()
    assert report["how"] == "discard; the disk promises no zeros"
    assert not report["proven"]
    assert 0 < int(str(report["zero_samples"])) < int(str(report["samples"])), (
        "the ends are zeroed all the same"
    )
    disk.drive.promises = True
    with pytest.raises(WriteError, match="zeros promised") as caught:
        disk.wipe(method="discard").discard()
    assert caught.value.code == 66


def test_a_disk_without_discard_is_refused_untouched(disk: Disk) -> None:
    wipe, before = disk.wipe(method="discard"), disk.path.read_bytes()

    def refuse(_start: int, _length: int) -> None:
        raise OSError(95, "Operation not supported")

    wipe.target.discard = refuse  # type: ignore[method-assign]
    with pytest.raises(WriteError, match=r"takes no discard .*nothing was erased") as caught:
        wipe.discard()
    assert (caught.value.code, disk.path.read_bytes()) == (65, before)


def rewrite(disk: Disk, data: Callable[[int], bytes]) -> Callable[[], None]:
    """What the drive makes of itself."""

    def erase() -> None:
        disk.path.write_bytes(data(SIZE))

    return erase


def test_a_drive_that_erased_its_key_is_proven_by_what_reads_otherwise(disk: Disk) -> None:
    disk.drive.ways, disk.drive.erases = ("nvme-crypto", "nvme-block"), rewrite(disk, os.urandom)
    report = disk.wipe(method="sanitize").sanitize()
    assert report["how"] == "nvme-crypto; 64 samples that held data read otherwise"
    assert report["proven"]
    assert disk.path.read_bytes()[:HEAD_BYTES] == bytes(HEAD_BYTES)
    disk.drive.ways = ()
    assert str(disk.wipe(method="sanitize").sanitize()["how"]).startswith("erased before"), "not done again"


def test_a_drive_that_says_so_and_reads_as_before_is_told(disk: Disk) -> None:
    disk.drive.ways = ("ata-crypto",)
    with pytest.raises(WriteError, match="64 of 64 samples read as before: at byte 0,") as caught:
        disk.wipe(method="sanitize").sanitize()
    assert caught.value.code == 66


def test_what_can_not_be_read_after_an_erasing_proves_nothing(disk: Disk) -> None:
    disk.drive.ways = ("nvme-crypto",)
    wipe = disk.wipe(method="sanitize")
    plain_read = wipe.target.read

    def erase() -> None:
        disk.path.write_bytes(os.urandom(SIZE))
        wipe.target.read = unreadable  # type: ignore[method-assign]

    def unreadable(buffer: Any, length: int, offset: int) -> None:
        if 20 * MIB <= offset < 21 * MIB:
            raise OSError(5, "Input/output error")
        plain_read(buffer, length, offset)

    disk.drive.erases = erase
    report = wipe.sanitize()
    assert not report["proven"]
    assert str(report["how"]).endswith("could not be read")


def test_a_frozen_drive_is_refused_untouched(disk: Disk) -> None:
    disk.drive.stuck, before = "its security is frozen by the firmware", disk.path.read_bytes()
    with pytest.raises(WriteError, match="sanitize is not possible: its security is frozen") as caught:
        disk.wipe(method="sanitize").sanitize()
    assert (caught.value.code, disk.path.read_bytes()) == (65, before)


def test_a_drive_that_is_at_it_since_before_a_power_cut_is_waited_for(disk: Disk) -> None:
    disk.drive.at_it, disk.drive.erases = True, rewrite(disk, bytes)
    report = disk.wipe(method="sanitize").sanitize()
    assert (report["proven"], report["zero_samples"]) == (True, 64)


def test_the_command_erases_only_the_block_device_that_rf_exec_verified(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(STALE)
    asked = ["--method", "overwrite", "--disk", "S", "--size-bytes", str(len(STALE)), "--name", "n"]
    with path.open("r+b") as stream:
        held = {"RF_DISK_FD_0": str(stream.fileno())}
        for environment, says in (
            ({}, "run under rf-exec"),
            ({**held, "RF_DISK_IDENTITY_0": "T"}, "verified disk 'T'"),
            ({**held, "RF_DISK_IDENTITY_0": "S"}, "no block device"),
        ):
            assert rf_wipe.main(asked, environment) == 77
            assert says in capfd.readouterr().err
    for wrong in (["--method", "shred", "--disk", "S"], ["--method", "discard"], []):
        assert rf_wipe.main(wrong, {}) == 64
    assert path.read_bytes() == STALE


def test_what_disks_can_do_is_asked_by_kernel_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name, most in (("vda", "0"), ("vdb", "4096"), ("loop0", "4096")):
        (tmp_path / "block" / name / "queue").mkdir(parents=True)
        (tmp_path / "block" / name / "queue/discard_max_bytes").write_text(f"{most}\n")
    assert rf_wipe.main(["--ask"], {}, str(tmp_path)) == 0
    told = json.loads(capfd.readouterr().out)
    assert told == {"vda": {"can": [], "problem": None}, "vdb": {"can": ["discard"], "problem": None}}
