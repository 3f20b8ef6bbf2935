"""Partition tables of a machine in memory, as sgdisk and sfdisk write them."""

import re
from typing import Any

Place = dict[str, Any]


def write_mbr(place: Place, script: str) -> None:
    """A table of its own: what the script does not name is gone."""
    found = re.search(r"^label-id: 0x([0-9a-f]{8})$", script, re.MULTILINE)
    assert found is not None  # without it sfdisk draws one by lot
    rows = re.findall(r"^(\d+) : start=(\d+), size=(\d+), type=(\w+)(.*)$", script, re.MULTILINE)
    place["parts"] = {
        int(number): place["parts"].get(int(number), {})
        | {"start": int(start), "size": int(size) * 512, "parttype": f"0x{kind}"}
        | {"partuuid": f"{found[1]}-{int(number):02x}", "partflags": "0x80" if "bootable" in more else None}
        for number, start, size, kind, more in rows
    }


def write_gpt(place: Place, argv: tuple[str, ...]) -> None:
    """What sgdisk adds to the table, or puts into an empty one."""
    if "--clear" in argv:
        place["parts"] = {}
    for word in argv:
        if found := re.fullmatch(r"--new=(\d+):(\d+):(\d+)", word):
            number, first, last = (int(text) for text in found.groups())
            old = place["parts"].get(number, {})
            place["parts"][number] = old | {"start": first, "size": (last - first + 1) * 512}
        if found := re.fullmatch(r"--partition-guid=(\d+):(\S+)", word):
            place["parts"][int(found[1])]["partuuid"] = found[2]
