"""Loop devices, for what only real tools can prove."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

MIB = 1 << 20

Loop = Callable[..., str]


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """Loop devices over sparse files; needs root."""
    if os.geteuid() != 0:
        pytest.skip("loop devices need root")
    made: list[str] = []

    def make(size_mib: int, *options: str, name: str = "disk") -> str:
        with (tmp_path / name).open("ab") as file:
            file.truncate(size_mib * MIB)
        argv = ["losetup", "--find", "--show", *options, str(tmp_path / name)]
        said = subprocess.run(argv, capture_output=True, text=True, check=False)
        if said.returncode:
            pytest.skip(f"no loop device: {said.stderr.strip()}")
        made.append(said.stdout.strip())
        return made[-1]

    yield make
    for device in made:
        subprocess.run(["losetup", "--detach", device], check=True)
