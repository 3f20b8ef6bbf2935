"""rf-write on a simulated machine: the real manifest and the real ranges, in modelled time.

Chunks count as written one by one, the one with the partition table last, and are noted on the disk under
the write's name, so that a new start goes on after a kill or a power cut. Unpacking is left out: what is on
the medium is only how much of which image.
"""

import hashlib
import json

from lab.sim import web
from lab.sim.disks import Content
from lab.sim.fence import Answer, Step

CHUNK_S = 0.2
ERASE_S = 0.4
EXIT_REFUSED, EXIT_UNREACHABLE = 65, 69
ATTEMPTS = 12
RETRY_S = 0.5


class _Unreachable(Exception):
    """The server does not answer."""


def rf_write(step: Step) -> Answer:
    """Write the image that the manifest describes onto the guarded device."""
    argv = step.request.argv
    given = dict(zip(argv[1::2], argv[2::2], strict=False))
    try:
        manifest = _get(step, given["--manifest"])
        if hashlib.sha256(manifest).hexdigest() != given["--manifest-sha256"]:
            return _refused(EXIT_REFUSED, "manifest has another sha256; nothing was erased")
        return _write(step, given, json.loads(manifest))
    except _Unreachable as error:
        return _refused(EXIT_UNREACHABLE, str(error))


def _write(step: Step, given: dict[str, str], manifest: dict[str, object]) -> Answer:
    chunks = manifest["chunks"]
    assert isinstance(chunks, list)
    key = f"{given['--resume']} {given['--manifest-sha256']} {given['--disk']} {given['--size-bytes']}"
    if _target(step).mark != key:
        step.pause(ERASE_S)
        with step.change():
            _target(step).erase()
            _target(step).mark = key
    resumed = set(_target(step).chunks)
    blob = given["--manifest"].rpartition("/")[0] + "/" + str(manifest["blob"]).rpartition("/")[2]
    for done, index in enumerate([*range(1, len(chunks)), 0], 1):
        if index not in resumed:
            _get(step, blob, first=chunks[index][2], length=chunks[index][3])
            step.pause(CHUNK_S)
            _put(step, index, len(chunks))
        step.progress = _progress(done, len(chunks), int(str(manifest["size_bytes"])))
    told = {"chunks": len(chunks), "chunks_resumed": len(resumed), "image_digest": manifest["image_digest"]}
    return 0, json.dumps(told) + "\n", ""


def _put(step: Step, index: int, count: int) -> None:
    with step.change() as system:
        content = _target(step)
        content.chunks.add(index)
        step.wrote += 1
        if len(content.chunks) == count:
            system.image.unpack(content)


def _target(step: Step) -> Content:
    found = step.system.device(step.identities[0])
    assert found is not None  # rf-exec has verified it
    return found[0]


def _progress(done: int, count: int, size_bytes: int) -> dict[str, object]:
    return {"done_bytes": size_bytes * done // count, "total_bytes": size_bytes, "mb_per_s": 20.0}


def _get(step: Step, url: str, *, first: int | None = None, length: int = 0) -> bytes:
    for _ in range(ATTEMPTS):
        try:
            status, data = web.get(step.system.address, url, first=first, length=length)
        except OSError:
            status, data = 503, b""
        if status in (200, 206):
            return data
        if status < 500:
            raise _Unreachable(f"{url}: status {status}")
        step.pause(RETRY_S)
    raise _Unreachable(f"{url} could not be reached")


def _refused(code: int, error: str) -> Answer:
    return code, "", json.dumps({"error": error, "exit": code}) + "\n"
