#!/usr/bin/python3 -I
"""rf-wipe: erase the disk that rf-exec verified, prove it by reading, and say so (docs/disks.md).

    rf-exec --epoch N --step ID --disk SERIAL:SIZE --disk-open hold -- /usr/lib/rackflow/rf-wipe
        --method metadata|discard|overwrite|sanitize --disk SERIAL --size-bytes SIZE --name NAME
    rf-wipe --release SERIAL --among SERIAL,SERIAL...
    rf-wipe --ask

metadata   zeroes every place where a signature may lie: both ends of the disk and of each partition, and the
           mirrors in between; all of it is read back.
discard    tells the disk that nothing is needed any more (BLKDISCARD), then does what metadata does.
overwrite  writes zeros to every block, goes on after a kill or a power cut from where it came to.
sanitize   has the drive erase itself, by the best way that it says it can, and waits for its end.

All but metadata read samples afterwards: both ends, and 62 random places. What was promised must be read:
zeros after an overwrite, and after a discard where the disk promises them; after an erasing of the key the
samples must differ from what was there before.

--release takes down what is above a disk (arrays, volumes, mounts), where that lies on no disk but those that
--among names. Then rf-exec finds it free.

What cannot be done is said before anything is erased (65). A note on the disk, under NAME, says how far an
erasing came; one that was done under this NAME is not done again, only sampled. --ask prints, by kernel name,
what each disk can do and what is in the way. Progress goes as JSON lines to RF_PROGRESS_FD, the report as
JSON to stdout.

Exit codes: 0 erased and proven; 64 usage; 65 refused, nothing was erased; 66 samples say otherwise;
74 the disk returned an error; 77 not the disk that rf-exec verified.
"""

import json
import mmap
import os
import sys
import time
from collections.abc import Callable

from bootos.rf_erase import PIECE_BYTES, Note, Range, partitions_of, ranges, read_samples, spots
from bootos.rf_held import EXIT_IO, Parser, failed, progress_to, verified_disk
from bootos.rf_records import System
from bootos.rf_release import release
from bootos.rf_sanitize import Drive, ask
from bootos.rf_target import Target, WriteError

EXIT_REFUSED, EXIT_UNPROVEN = 65, 66
DISCARD_STEP_BYTES = 4 << 30
NOTE_EVERY_S = 30.0
METHODS = ("metadata", "discard", "overwrite", "sanitize")

Tell = Callable[[dict[str, object]], None]


class Wipe:
    """One disk on its way to being erased."""

    def __init__(
        self, target: Target, drive: Drive, partitions: list[Range], *, key: str, tell: Tell
    ) -> None:
        self.target, self.drive, self.tell = target, drive, tell
        self.places = ranges(target.size_bytes, partitions)
        self.note = Note(target, key)
        self.began = time.time()

    def metadata(self) -> dict[str, object]:
        """Zero the places, and read all of them."""
        self._zero_places()
        return self._proof(self.places, promised=True, how="zeros at every place of a signature")

    def discard(self) -> dict[str, object]:
        """Discard all; a disk that knows none says so at the first step."""
        if not self._is_done():
            size = self.target.size_bytes
            for first in range(0, size, DISCARD_STEP_BYTES):
                try:
                    self.target.discard(first, min(DISCARD_STEP_BYTES, size - first))
                except OSError as error:
                    if first:
                        raise
                    told = f"the disk takes no discard ({error.strerror}); nothing was erased"
                    raise WriteError(EXIT_REFUSED, told) from None
                self._progress(first)
            self._zero_places()
            self.note.put(size)
        promised = self.drive.zeroes_after_discard()
        how = "discard, zeros promised" if promised else "discard; the disk promises no zeros"
        return self._proof(spots(self.target.size_bytes), promised=promised, how=how)

    def overwrite(self) -> dict[str, object]:
        """Write zeros everywhere but over the own note."""
        size, position = self.target.size_bytes, self.note.read()
        if position is None:
            # No piece passes over the note, and a short erasing writes one of its two copies alone.
            position = 0
            self.target.zero(self.note.place.first, self.note.place.length)
        how = f"zeros written to every block{gone_on(position, size)}"
        noted = time.monotonic()
        with mmap.mmap(-1, PIECE_BYTES) as zeros:
            while position < size:
                length = self._piece(position)
                if length:
                    self.target.write(zeros, length, position)
                position += length or self.note.place.length
                if time.monotonic() - noted > NOTE_EVERY_S and position < self.note.place.first:
                    self.note.put(position)
                    noted = time.monotonic()
                self._progress(position)
        self.note.put(size)
        return self._proof(spots(size), promised=True, how=how)

    def _piece(self, position: int) -> int:
        """How much to write at a position; 0 where the note lies."""
        note = self.note.place
        if note.first <= position < note.first + note.length:
            return 0
        end = note.first if position < note.first else self.target.size_bytes
        return min(PIECE_BYTES, end - position)

    def sanitize(self) -> dict[str, object]:
        """Let the drive do it; what is read afterwards must be zeros, or another than before."""
        places, done = spots(self.target.size_bytes), self._is_done()
        going_on = not done and self.drive.is_erasing()
        before = [] if done or going_on else read_samples(self.target, places)
        way = self.drive.way()
        if way is None and not done and not going_on:
            problem = self.drive.problem() or "it knows no way to erase itself"
            raise WriteError(EXIT_REFUSED, f"sanitize is not possible: {problem}; nothing was erased")
        if not done:
            self.drive.erase(way, going_on=going_on, tell=self._fraction)
            self.target.flush()
        after = read_samples(self.target, places)
        held = {one.first: one.digest for one in before if not one.zero}
        read = [one for one in after if one.digest is not None]
        same = [one.first for one in read if not one.zero and held.get(one.first) == one.digest]
        if same:
            told = f"{len(same)} of {len(after)} samples read as before: {_told(same)}"
            raise WriteError(EXIT_UNPROVEN, f"the drive says that it erased itself, and {told}")
        self._zero_places()
        self.note.put(self.target.size_bytes)
        changed = sum(held.get(one.first) is not None for one in read)
        how = f"{way or 'erased before'}; {changed} samples that held data read otherwise"
        dark = len(after) - len(read)
        how += f"; {dark} could not be read" if dark else ""
        zero = sum(one.zero for one in after)
        proven = not dark and (changed > 0 or zero == len(after))
        return self._report(how, samples=len(after), zero=zero, proven=proven)

    def _is_done(self) -> bool:
        return self.note.read() == self.target.size_bytes

    def _zero_places(self) -> None:
        for place in self.places:
            self.target.zero(place.first, place.length)
        self.target.flush()

    def _proof(self, places: list[Range], *, promised: bool, how: str) -> dict[str, object]:
        found = read_samples(self.target, places, self.note.place)
        wrong = [one.first for one in found if not one.zero]
        if wrong and promised:
            told = f"{len(wrong)} of {len(found)} samples are not zero: {_told(wrong)}"
            raise WriteError(EXIT_UNPROVEN, f"erased ({how}), and {told}")
        return self._report(how, samples=len(found), zero=len(found) - len(wrong), proven=not wrong)

    def _report(self, how: str, *, samples: int, zero: int, proven: bool) -> dict[str, object]:
        return {
            "how": how,
            "size_bytes": self.target.size_bytes,
            "began": round(self.began, 1),
            "ended": round(time.time(), 1),
            "samples": samples,
            "zero_samples": zero,
            "proven": proven,
        }

    _told_at = 0.0

    def _progress(self, done_bytes: int) -> None:
        now = time.time()
        if now - self._told_at < 1.0:
            return
        self._told_at = now
        rate = done_bytes / max(now - self.began, 0.001) / 1e6
        told = {"done_bytes": done_bytes, "total_bytes": self.target.size_bytes, "mb_per_s": round(rate, 1)}
        self.tell(dict(told))

    def _fraction(self, fraction: float) -> None:
        self._progress(int(fraction * self.target.size_bytes))


def gone_on(position: int, size_bytes: int) -> str:
    """What of it an earlier start did, so that nobody reads the times of this one as all of it."""
    if position == size_bytes:
        return ", by an earlier start"
    return f"; gone on with at byte {position}" if position else ""


def _told(places: list[int]) -> str:
    return ", ".join(f"at byte {first}" for first in places[:5]) + (", …" if len(places) > 5 else "")


def main(arguments: list[str], environment: dict[str, str], sysfs: str = "/sys") -> int:
    """Erase, or say what could be; the report goes to stdout."""
    parser = Parser(prog="rf-wipe", description="Erase the disk that rf-exec verified.")
    parser.add_argument("--ask", action="store_true", help="say what each disk can do")
    parser.add_argument("--release", metavar="SERIAL", help="take down what is above this disk")
    parser.add_argument("--among", default="", help="disks that may lose what is on them")
    parser.add_argument("--method", choices=METHODS)
    parser.add_argument("--disk", metavar="SERIAL", help="as given to rf-exec --disk")
    parser.add_argument("--size-bytes", type=int, default=0, help="size of the disk")
    parser.add_argument("--name", default="", help="whose erasing this is, to go on with it")
    try:
        given = parser.parse_args(arguments)
        if given.ask:
            os.write(1, (json.dumps(ask(sysfs)) + "\n").encode())
            return 0
        if given.release:
            done = release(System(), given.release, [one for one in given.among.split(",") if one])
            os.write(1, (json.dumps({"released": given.release, "done": done}) + "\n").encode())
            return 0
        if not given.method or not given.disk:
            parser.error("--method and --disk are needed, or --ask")
        target = verified_disk(environment, given.disk, given.size_bytes)
        number = device_number(int(environment["RF_DISK_FD_0"]))
        key = f"{given.name} {given.method} {given.disk} {given.size_bytes}" if given.name else ""
        drive = Drive(sysfs, number, opens=given.method == "sanitize")
        wipe = Wipe(target, drive, partitions_of(sysfs, number), key=key, tell=progress_to(environment))
        report = getattr(wipe, given.method)()
    except WriteError as error:
        return failed(error)
    except OSError as error:
        return failed(WriteError(EXIT_IO, f"the disk returned an error: {error}"))
    report = {"identity": given.disk, "method": given.method, **report}
    os.write(1, (json.dumps(report) + "\n").encode())
    return 0


def device_number(fd: int) -> str:
    """The number of an open block device, as sysfs spells it."""
    number = os.fstat(fd).st_rdev
    return f"{os.major(number)}:{os.minor(number)}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ)))
