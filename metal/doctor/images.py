"""The image cache: each image of the current set is stored, served as it was stored, and there is room."""

import hashlib
import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import httpx
import zstandard

from metal.doctor.findings import Check, Finding, failed, ok, skipped, warning, why
from metal.doctor.surroundings import Surroundings, url_host
from specs.shapes import IpAddress

SAMPLE: Final = 4
"""Chunks that are read back of each image; `--deep` reads all."""
CHUNK_MAX_BYTES: Final = 16 << 20
LEAST_FREE_BYTES: Final = 2 << 30
LEAST_FREE_PART: Final = 0.05
_TIMEOUT_S: Final = 30.0
_ROOM: Final = "rackflow image rm, or a larger disk"
_DEEP_S: Final = 3600.0


def image_checks(around: Surroundings, *, deep: bool) -> Iterator[Check]:
    """A check per image, and one of the disk."""
    if around.on_edge_host:
        yield Check("images", "disk space", lambda: [check_space(around)])
    if around.edge is None:
        yield Check("images", "images", lambda: [skipped("images", "the edge does not answer")])
    elif not around.images:
        yield Check("images", "images", lambda: [skipped("images", "the current set has none")])
    else:
        for name in around.images:
            state = around.edge.image_states.get(name, {"state": "absent"})
            yield Check(
                "images",
                f"image {name}",
                partial(check_image, around, name, state, deep=deep),
                timeout_s=_DEEP_S if deep else 2 * _TIMEOUT_S,
            )


def check_space(around: Surroundings) -> Finding:
    """Room for images, leases and history on the data folder's disk."""
    usage = shutil.disk_usage(around.data)
    free = usage.free / usage.total
    said = f"{usage.free >> 20} MiB free of {usage.total >> 20} on the disk of {around.data}"
    if usage.free < LEAST_FREE_BYTES / 8:
        return failed("disk space", f"{said}: leases can't be stored soon", _ROOM)
    if usage.free < LEAST_FREE_BYTES or free < LEAST_FREE_PART:
        return warning("disk space", said, _ROOM)
    return ok("disk space", said)


def check_image(
    around: Surroundings, name: str, state: Mapping[str, Any], *, deep: bool
) -> Iterator[Finding]:
    """One image: stored, and served as it was stored."""
    yield judge_image(around, name, state, deep=deep)


def judge_image(around: Surroundings, name: str, state: Mapping[str, Any], *, deep: bool) -> Finding:
    """The verdict on one image, the store's word first."""
    title, wanted = f"image {name}", around.images[name].digest
    told = state.get("state")
    if told != "ready":
        reason = f": {state['error']}" if state.get("error") else ""
        said = "it is not in the store" if told in (None, "absent") else f"it is {told}{reason}"
        return failed(title, said, f"rackflow image add {name} --file FILE")
    if wanted is not None and state.get("digest") != wanted:
        said = f"the store has {str(state.get('digest'))[:19]}…, the Image document says {wanted[:19]}…"
        return failed(title, said, f"rackflow image add {name} --file FILE, or correct the document")
    if not around.servers:
        return failed(title, "it is stored, but the edge has no address for machines", "see networks above")
    try:
        return verify(title, around.servers[0], around.boot_port, state, deep=deep)
    except httpx.HTTPError as error:
        return failed(title, f"it can't be fetched: {why(error)}", "see ports and boot above")


def verify(
    title: str,
    server: IpAddress,
    port: int,
    state: Mapping[str, Any],
    *,
    deep: bool,
    transport: httpx.BaseTransport | None = None,
) -> Finding:
    """Fetch manifest and chunks as the image writer does."""
    digest = str(state["digest"]).removeprefix("sha256:")
    again = f"rackflow image rm {title.rsplit(maxsplit=1)[-1]}, and add it again"
    base = f"http://{url_host(server)}:{port}/images/{digest}/"
    with httpx.Client(base_url=base, timeout=_TIMEOUT_S, trust_env=False, transport=transport) as client:
        answer = client.get("manifest.json")
        if answer.status_code != httpx.codes.OK:
            return failed(title, f"its manifest answers {answer.status_code}", again)
        if hashlib.sha256(answer.content).hexdigest() != state["manifest_sha256"]:
            return failed(title, "its manifest is not the one that was stored", again)
        chunks = json.loads(answer.content)["chunks"]
        blob = client.head("blob")
        length = int(blob.headers.get("Content-Length", -1))
        if length != state["blob_bytes"]:
            return failed(title, f"its blob has {length} octets, {state['blob_bytes']} were stored", again)
        picked = chunks if deep or len(chunks) <= SAMPLE else random.sample(chunks, SAMPLE)
        bad = [chunk for chunk in picked if not chunk_is_good(client, chunk)]
    if bad:
        said = f"{len(bad)} of {len(picked)} chunks read are damaged, the first at {bad[0][0]}"
        return failed(title, said, again)
    return ok(title, f"{state['blob_bytes'] >> 20} MiB, {len(picked)} of {len(chunks)} chunks read and good")


def chunk_is_good(client: httpx.Client, chunk: Sequence[Any]) -> bool:
    """One chunk by Range, unpacked, against its sha256."""
    _, length, at, packed, digest = chunk
    answer = client.get("blob", headers={"Range": f"bytes={at}-{at + packed - 1}"})
    if answer.status_code != httpx.codes.PARTIAL_CONTENT or length > CHUNK_MAX_BYTES:
        return False
    try:
        data = zstandard.ZstdDecompressor().decompress(answer.content, max_output_size=length)
    except zstandard.ZstdError:
        return False
    return bool(hashlib.sha256(data).hexdigest() == digest)
