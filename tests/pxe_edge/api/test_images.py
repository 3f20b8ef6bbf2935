"""Images through the API with the real qemu-img: converted and described, or refused unparsed."""

import hashlib
import json
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pxe_edge.images import contents

MIB = 1 << 20
SECTOR = 512
SGDISK = ("-n1:2048:4095", "-t1:ef02", "-n2:4096:12287", "-t2:ef00", "-n3:12288:28671", "-c3:root")
ROOT_UUID = "0a0b0c0d-1111-2222-3333-444455556666"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk of 20 MiB with BIOS boot partition, ESP and an ext4 root, most of it holes."""
    path = tmp_path_factory.mktemp("image") / "disk.raw"
    with path.open("wb") as disk:
        disk.truncate(20 * MIB)
    subprocess.run(["sgdisk", "-a1", *SGDISK, path], check=True, capture_output=True)
    argv = ["mkfs.ext4", "-q", "-F", "-L", "root", "-U", ROOT_UUID, "-E", f"offset={12288 * SECTOR}"]
    subprocess.run([*argv, path, "8192"], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def qcow2(raw: Path) -> bytes:
    made = raw.with_name("disk.qcow2")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, made], check=True)
    return made.read_bytes()


def put(site: Any, content: bytes, *, expect: int = 202, **params: Any) -> Any:
    return site.call(
        "PUT", "/v1/images/deb/blob", scope="admin", expect=expect, params=params, content=content
    )


def ended(site: Any) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        state: dict[str, Any] = site.call("GET", "/v1/images/deb")
        if state["state"] in ("ready", "failed"):
            return state
        time.sleep(0.02)
    pytest.fail(f"not converted within 30 s: {state}")


def unpacked(folder: Path) -> bytes:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    blob = (folder / manifest["blob"]).read_bytes()
    disk = bytearray(manifest["size_bytes"])
    for offset, length, at, packed, digest in manifest["chunks"]:
        data = zstandard.ZstdDecompressor().decompress(blob[at : at + packed])
        assert len(data) == length
        assert hashlib.sha256(data).hexdigest() == digest
        disk[offset : offset + length] = data
    return bytes(disk)


@pytest.mark.parametrize("format_", ["qcow2", "raw"])
def test_an_image_becomes_chunks_that_make_the_same_disk(
    site: Any, raw: Path, qcow2: bytes, format_: str
) -> None:
    content = qcow2 if format_ == "qcow2" else raw.read_bytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    site.call("POST", "/v1/images", scope="admin", expect=201, json={"name": "deb"})
    put(site, content, format=format_, digest=digest)
    image = ended(site)
    assert (image["state"], image["digest"], image["size_bytes"]) == ("ready", digest, 20 * MIB)
    folder = site.registry.data / "images" / digest.removeprefix("sha256:")
    assert unpacked(folder) == raw.read_bytes()
    manifest = (folder / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == image["manifest_sha256"]
    assert manifest == json.dumps(json.loads(manifest), sort_keys=True, separators=(",", ":")).encode()
    assert len(json.loads(manifest)["chunks"]) < 5
    assert image["manifest_url"].endswith(f":8080/images/{folder.name}/manifest.json")
    info = image["info"]
    assert (info["has_esp"], info["has_bios_boot"], info["root_partition"]) == (True, True, 3)
    assert (info["root_uuid"], info["root_filesystem"], info["has_python3"]) == (ROOT_UUID, "ext4", False)
    assert info["partitions"][2]["start_bytes"] == 12288 * SECTOR
    assert [i["name"] for i in site.call("GET", "/v1/images")["items"]] == ["deb"]
    assert list((site.registry.data / "images" / "incoming").iterdir()) == []


def test_a_wrong_digest_is_refused_before_any_parser_and_leaves_nothing(site: Any, qcow2: bytes) -> None:
    answer = put(site, qcow2, expect=422, digest="sha256:" + "0" * 64)
    assert answer["code"] == "image-mismatch"
    assert hashlib.sha256(qcow2).hexdigest() in answer["detail"]
    assert site.call("GET", "/v1/images/deb")["state"] == "failed"
    assert list((site.registry.data / "images" / "incoming").iterdir()) == []
    assert site.call("GET", "/v1/images")["items"] == []


def test_a_backing_file_is_refused(site: Any, raw: Path) -> None:
    made = raw.with_name("backed.qcow2")
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname", "-u", made, "1M"]
    subprocess.run(argv, check=True)
    answer = put(site, made.read_bytes(), expect=422)
    assert (answer["code"], "backing file" in answer["detail"]) == ("image-unfit", True)


def test_another_image_under_the_same_name_needs_replace(site: Any, raw: Path, qcow2: bytes) -> None:
    first = f"sha256:{hashlib.sha256(qcow2).hexdigest()}"
    put(site, qcow2, digest=first)
    ended(site)
    second = f"sha256:{hashlib.sha256(raw.read_bytes()).hexdigest()}"
    refused = put(site, raw.read_bytes(), expect=409, format="raw", digest=second)
    assert refused["code"] == "image-mismatch"
    put(site, raw.read_bytes(), format="raw", digest=second, replace=True)
    assert ended(site)["digest"] == second


def test_a_damaged_image_fails_and_the_one_before_stays(site: Any, raw: Path, qcow2: bytes) -> None:
    put(site, qcow2)
    good = ended(site)["digest"]
    level_1 = int.from_bytes(qcow2[40:48], "big")
    unaligned = (1 << 63 | 512).to_bytes(8, "big")
    put(site, qcow2[:level_1] + unaligned + qcow2[level_1 + 8 :])
    deadline = time.monotonic() + 30
    while (state := site.call("GET", "/v1/images/deb"))["error"] is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "qemu-img" in state["error"]
    assert (state["state"], state["digest"]) == ("ready", good)


@pytest.mark.parametrize(("lba", "first"), [(1 << 63, 0), (2, 1 << 60)])
def test_a_table_that_points_beyond_every_file_is_no_table(site: Any, lba: int, first: int) -> None:
    disk = bytearray(2 * MIB)
    disk[SECTOR : SECTOR + 8] = b"EFI PART"
    struct.pack_into("<QII", disk, SECTOR + 72, lba, 4, 128)
    disk[2 * SECTOR : 2 * SECTOR + 16] = b"\x01" * 16
    struct.pack_into("<QQ", disk, 2 * SECTOR + 32, first, 1 << 62)
    put(site, bytes(disk), format="raw")
    assert ended(site)["state"] == "ready"


def test_a_conversion_that_stumbles_has_failed(site: Any, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(contents, "describe", stumble)
    put(site, raw.read_bytes(), format="raw")
    state = ended(site)
    assert (state["state"], "ZeroDivisionError" in state["error"]) == ("failed", True)
    assert list((site.registry.data / "images" / "incoming").iterdir()) == []
