"""What the edge makes of the description that the boot OS's builder leaves beside it."""

import json

import pytest

from bootos.build import ARCHITECTURE
from pxe_edge.registry.site_view import bootos_view


@pytest.mark.parametrize(
    ("arch", "bios", "arm64"),
    [(ARCHITECTURE, True, False), ("amd64", True, False), ("aarch64", False, True), (None, True, False)],
)
def test_a_boot_os_runs_on_the_processors_that_its_builder_says(tmp_path, arch, bios, arm64):
    (tmp_path / "bootos").mkdir()
    told = {"kernel": "bootos/1/vmlinuz", "initrds": []} | ({"arch": arch} if arch else {})
    (tmp_path / "bootos" / "current.json").write_text(json.dumps(told))

    view = bootos_view(tmp_path)

    assert view is not None
    assert (view.runs_on(0), view.runs_on(11)) == (bios, arm64)
