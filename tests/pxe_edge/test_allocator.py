"""Freed memory goes back to the kernel."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import gc, threading
from pxe_edge.allocator import keep_little
keep_little()

def rss():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def work():
    kept, held = [], []
    for _ in range(20):
        held += ["x" * (1 << 20)]
        kept += [bytearray(2000)]  # small things between the large ones
        del held[:-5]
    del held
    everything.append(kept)

everything = []
before = rss()
for _ in range(8):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
print(rss() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are glibc's")
def test_large_texts_leave_no_trace_once_they_are_freed() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    assert float(done.stdout) < 3
