"""What machines are told to fetch, measured where it lies."""

import hashlib
import json
from pathlib import Path

from pxe_edge.registry.boot_files import listed
from specs.site_model import SiteBoot


def test_files_are_measured_and_missing_ones_are_listed_too(tmp_path: Path) -> None:
    (tmp_path / "snponly.efi").write_bytes(b"abc")
    (tmp_path / "bootos").mkdir()
    (tmp_path / "bootos" / "vmlinuz").write_bytes(b"kernel")
    (tmp_path / "bootos" / "current.json").write_text(
        json.dumps({"kernel": "bootos/vmlinuz", "initrds": ["bootos/gone.img"]})
    )

    items = {item["name"]: item for item in listed(tmp_path, "http://10.0.0.1:8080", SiteBoot())}

    assert items["snponly.efi"]["sha256"] == hashlib.sha256(b"abc").hexdigest()
    assert {7, 9} <= set(items["snponly.efi"]["architectures"])
    assert (items["undionly.kpxe"]["size_bytes"], items["undionly.kpxe"]["sha256"]) == (None, None)
    assert "snponly-arm64.efi" not in items
    assert items["bootos/vmlinuz"] | {"kind": "kernel", "size_bytes": 6} == items["bootos/vmlinuz"]
    assert items["bootos/gone.img"]["kind"] == "initrd"
    assert items["bootos/gone.img"]["url"] == "http://10.0.0.1:8080/bootos/gone.img"


def test_with_secure_boot_the_signed_loaders_are_what_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "shimaa64.efi").write_bytes(b"abc")
    told = SiteBoot.model_validate({"secureBoot": True})

    items = {item["name"]: item["architectures"] for item in listed(tmp_path, "http://10.0.0.1:8080", told)}

    assert items == {
        "undionly.kpxe": [0],
        "shimx64.efi": [7, 9, 16],
        "grubx64.efi": [7, 9, 16],
        "shimaa64.efi": [11, 19],
    }
