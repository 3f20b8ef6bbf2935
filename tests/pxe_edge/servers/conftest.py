"""A boot folder for the servers."""

import os

import pytest

BIG = bytes(range(251)) * 1000


@pytest.fixture
def root(tmp_path):
    boot = tmp_path / "boot"
    (boot / "bootos").mkdir(parents=True)
    (boot / "small").write_bytes(b"x" * 600)
    (boot / "whole").write_bytes(b"x" * 1024)
    (boot / "empty").write_bytes(b"")
    (boot / "big").write_bytes(BIG)
    (boot / "bootos" / "kernel").write_bytes(b"k" * 10)
    (boot / ".partial.7").write_bytes(b"half")
    (tmp_path / "secret").write_bytes(b"s")
    (boot / "leak").symlink_to("../secret")
    (boot / "alias").symlink_to("small")
    os.mkfifo(boot / "pipe")
    return boot
