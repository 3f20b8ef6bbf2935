"""What rf-wipe says at the end of an erasing that went well, for machines that erase nothing."""

import json
from collections.abc import Sequence


def wipe_report(argv: Sequence[str]) -> str:
    """The line on its standard output, by its arguments."""
    said = dict(zip(argv[1::2], argv[2::2], strict=True))
    report = {"identity": said["--disk"], "method": said["--method"], "how": "in memory"}
    counts = {"size_bytes": int(said["--size-bytes"]), "began": 1.0, "ended": 2.0}
    return json.dumps({**report, **counts, "samples": 64, "zero_samples": 64, "proven": True}) + "\n"
