"""Volume groups of a machine in memory: what the lvm commands make, and what is read of it afterwards."""

import json
import re
from collections.abc import Iterator
from typing import Any

from metal.protocols import Output

Place = dict[str, Any]


class FakeLvm:
    """Groups by name. They lie on disks, so a restart leaves them; no volume is ever left active."""

    def __init__(self) -> None:
        self.groups: dict[str, Place] = {}

    def report(self) -> str:
        """As `lvm fullreport` prints them."""
        return json.dumps({"report": [self._report(name, group) for name, group in self.groups.items()]})

    @staticmethod
    def _report(name: str, group: Place) -> Place:
        return {
            "vg": [{"vg_name": name, "vg_uuid": group["uuid"], "vg_extent_size": str(group["extent"])}],
            "pv": [{"pv_name": f"/dev/{device}", "pv_uuid": uuid} for device, uuid in group["pvs"].items()],
            "lv": [
                {
                    "lv_name": lv,
                    "lv_uuid": f"{name}-{lv}",
                    "lv_size": str(one["extents"] * group["extent"]),
                    "lv_layout": "linear",
                    "lv_tags": ",".join(one["tags"]),
                }
                for lv, one in group["lvs"].items()
            ],
        }

    def run(
        self, argv: tuple[str, ...], devices: dict[str, tuple[str, Place]], *, tear: bool
    ) -> Output | None:
        """Carry one command out; `devices` are kernel name and partition by what stands for it in argv."""
        allowed = [argv[place + 1] for place, word in enumerate(argv) if word == "--devices"]
        operands = [word for word in argv if word in devices]
        assert set(operands) <= set(allowed), "lvm sees no device but those it is given"
        if tear:  # each of them commits its metadata at its end
            return None
        if argv[1] == "pvcreate":
            part = devices[argv[-1]][1]
            if part.get("fstype") == "LVM2_member":
                return Output(argv, 5, "", "Can't initialize physical volume of a volume group")
            part |= {"fstype": "LVM2_member", "uuid": argv[argv.index("--uuid") + 1]}
        elif argv[1] == "vgcreate":
            size = int(argv[argv.index("--physicalextentsize") + 1].removesuffix("b"))
            names = [word for word in argv[argv.index("--physicalextentsize") + 2 :] if word not in devices]
            pvs = {devices[word][0]: devices[word][1]["uuid"] for word in argv[-len(set(allowed)) :]}
            self.groups[names[0]] = {"uuid": f"vg-{names[0]}", "extent": size, "pvs": pvs, "lvs": {}}
        elif argv[1] == "lvcreate":
            name, extents = argv[argv.index("--name") + 1], int(argv[argv.index("--extents") + 1])
            lvs = self.groups[argv[argv.index("--name") + 2]]["lvs"]
            if name in lvs:
                return Output(argv, 5, "", f'Logical Volume "{name}" already exists')
            lvs[name] = {"extents": extents, "tags": [], "made": None}
        return None

    def volume(self, name: str) -> Place:
        """A volume by `GROUP/NAME`."""
        group, _, volume = name.partition("/")
        found: Place = self.groups[group]["lvs"][volume]
        return found

    def headers(self) -> Iterator[tuple[str, str]]:
        """Device and id of each LUKS2 header in a volume."""
        for name, group in self.groups.items():
            for lv, one in group["lvs"].items():
                if "uuid" in one.get("header", {}):
                    yield f"/dev/mapper/{name}-{lv}", one["header"]["uuid"]

    def mark(self, argv: list[str]) -> None:
        """Change the tags of a volume."""
        tags = self.volume(argv[-1])["tags"]
        for option, tag in re.findall(r"--(deltag|addtag) (\S+)", " ".join(argv)):
            (tags.append if option == "addtag" else tags.remove)(tag)
