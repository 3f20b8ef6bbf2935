"""What rf-wipe says at the end of an erasing that went well, for machines that erase nothing."""

import json
from collections.abc import Sequence


def wipe_report(
    argv: Sequence[str], *, how: str = "in memory", began: float = 1.0, ended: float = 2.0
) -> str:
    """The line on its standard output, by its arguments."""
    said = dict(zip(argv[1::2], argv[2::2], strict=True))
    report = {"identity": said["--disk"], "method": said["--method"], "how": how}
    counts = {"size_bytes": int(said["--size-bytes"]), "began": began, "ended": ended}
    return json.dumps({**report, **counts, "samples": 64, "zero_samples": 64, "proven": True}) + "\n"
