"""A machine's memory on its way to a file and back: QEMU's migration, of a machine that is stopped.

Stopped first, so that each page is sent once and disks, memory and devices are of one moment. The file is a
name without a path, in the machine's directory: QEMU runs there, and `exec:` is a shell.
"""

import asyncio
import time
from collections.abc import Callable

from lab.machine import OUTGOING
from lab.qmp import QmpClient, QmpError

TIMEOUT_S = 60.0
LOOK_S = 0.02
UNLIMITED_BYTES_S = 1 << 40
"""QEMU's own limit of 128 MiB/s is meant for networks."""


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something this process will see by itself."""
    ends_at = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > ends_at:
            raise QmpError(f"not within {TIMEOUT_S:.0f} s: {what}")
        await asyncio.sleep(LOOK_S)


async def save(qmp: QmpClient) -> None:
    """Stop the machine and write memory and device state to OUTGOING; a failure lets it go on."""
    await qmp.execute("stop")
    try:
        await qmp.execute("migrate-set-parameters", **{"max-bandwidth": UNLIMITED_BYTES_S})
        await qmp.execute("migrate", uri=f"exec:cat > {OUTGOING}")
        await _reached(qmp, "query-migrate", "completed", ("failed", "cancelled"))
    except QmpError:
        await qmp.execute("cont")
        raise


async def loaded(qmp: QmpClient) -> None:
    """Wait until a machine started with -incoming has its memory, and let it go on."""
    await _reached(qmp, "query-status", "paused", ("internal-error",))
    await qmp.execute("cont")


async def _reached(qmp: QmpClient, query: str, wanted: str, bad: tuple[str, ...]) -> None:
    ends_at = time.monotonic() + TIMEOUT_S
    while True:
        answer = await qmp.execute(query)
        status = answer.get("status")
        if status == wanted:
            return
        if status in bad or time.monotonic() > ends_at:
            raise QmpError(f"{query}: expected {wanted}, got {answer.get('error-desc', status)}")
        await asyncio.sleep(LOOK_S)
