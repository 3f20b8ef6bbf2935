"""rf-write on a simulated machine: the real manifest and the real ranges, in modelled time.

Chunks count as written one by one, with a resume file that lives as long as the boot; unpacking is left
out, for what is on the medium is only how much of which image.
"""

import hashlib
import json

from lab.sim import web
from lab.sim.fence import Answer, Step
from lab.sim.system import Notes

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
    notes = _notes(step, given)
    chunks = manifest["chunks"]
    assert isinstance(chunks, list)
    if not notes.erased:
        step.pause(ERASE_S)
        with step.change() as system:
            found = system.device(step.identities[0])
            assert found is not None
            found[0].erase()
            notes.erased = True
    resumed = len(notes.chunks)
    blob = given["--manifest"].rpartition("/")[0] + "/" + str(manifest["blob"]).rpartition("/")[2]
    for index, chunk in enumerate(chunks):
        if index not in notes.chunks:
            _get(step, blob, first=chunk[2], length=chunk[3])
            step.pause(CHUNK_S)
            _put(step, notes, index, len(chunks))
        step.progress = _progress(index + 1, len(chunks), int(str(manifest["size_bytes"])))
    told = {"chunks": len(chunks), "chunks_resumed": resumed, "image_digest": manifest["image_digest"]}
    return 0, json.dumps(told) + "\n", ""


def _put(step: Step, notes: Notes, index: int, count: int) -> None:
    with step.change() as system:
        found = system.device(step.identities[0])
        assert found is not None
        content = found[0]
        content.chunks.add(index)
        notes.chunks.add(index)
        step.wrote += 1
        if index == 0 or len(content.chunks) == count:
            system.image.unpack(content, whole=len(content.chunks) == count)


def _notes(step: Step, given: dict[str, str]) -> Notes:
    key = f"{given['--manifest-sha256']} {given['--disk']} {given['--size-bytes']}"
    with step.change() as system:
        kept = system.notes.get(given["--resume"])
        if kept is None or kept.key != key:
            kept = system.notes[given["--resume"]] = Notes(key)
    return kept


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
