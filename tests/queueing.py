"""How long a process could not run, because the computer was busy with other work.

What a test times is the life of a process; what it spends in the queue for a processor is no part of that.
"""

from contextlib import suppress
from pathlib import Path


def queued_s(pid: int) -> float:
    """How long the thread of it that waited most has stood in the queue for a processor.

    The second figure of /proc/PID/task/TID/schedstat; a kernel without it says nothing, and so does a process
    that has ended.
    """
    waited_ns = [0]
    with suppress(OSError):  # it has ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # a thread that has ended meanwhile
                waited_ns.append(int((thread / "schedstat").read_text().split()[1]))
    return max(waited_ns) / 1e9
