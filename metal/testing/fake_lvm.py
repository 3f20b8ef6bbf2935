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
                    "lv_layout": one.get("layout", "linear"),
                    "lv_tags": ",".join(one["tags"]),
                    "pool_lv": one.get("pool") or "",
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
        if tear:
            self._tear(argv)
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
            return self._create(argv)
        elif argv[1] == "lvremove":
            group, _, name = argv[-1].partition("/")
            del self.groups[group]["lvs"][name]
            kept = {lv: one for lv, one in self.groups[group]["lvs"].items() if one.get("pool") != name}
            self.groups[group]["lvs"] = kept
        elif argv[1] == "lvextend":
            self.volume(argv[-1])["extents"] = int(argv[argv.index("--extents") + 1])
        elif argv[1] == "pvresize":
            devices[argv[-1]][1]["resized"] = True
        return None

    def _create(self, argv: tuple[str, ...]) -> Output | None:
        at = argv.index("--name")
        name, group = argv[at + 1], self.groups[argv[at + 2]]
        if name in group["lvs"]:
            return Output(argv, 5, "", f'Logical Volume "{name}" already exists')
        made: Place = {"tags": re.findall(r"--addtag (\S+)", " ".join(argv)), "made": None}
        if "thin-pool" in argv:
            made |= {"layout": "thin,pool"}
        if "--thinpool" in argv:
            pool = argv[argv.index("--thinpool") + 1]
            if group["lvs"].get(pool, {}).get("layout") != "thin,pool":
                return Output(argv, 5, "", f"Thin pool {pool} not found")
            size_bytes = int(argv[argv.index("--virtualsize") + 1].removesuffix("b"))
            made |= {"layout": "thin,sparse", "pool": pool, "extents": size_bytes // group["extent"]}
        else:
            made["extents"] = int(argv[argv.index("--extents") + 1])
        group["lvs"][name] = made
        return None

    def _tear(self, argv: tuple[str, ...]) -> None:
        """What a killed command leaves: each commits its metadata at its end, but for a pool, by several."""
        if "thin-pool" in argv:
            self._half_of_a_pool(argv)
        elif "--thinpool" in argv:  # it is listed, and its pool was not told of it
            self._create(argv)
            self.groups[argv[-1]]["lvs"][argv[argv.index("--name") + 1]]["unsent"] = True

    def _half_of_a_pool(self, argv: tuple[str, ...]) -> None:
        """What will be its data stands, and what will be its metadata, both as plain volumes."""
        at = argv.index("--name")
        name, lvs = argv[at + 1], self.groups[argv[at + 2]]["lvs"]
        for half in (name, f"{name}_tmeta"):
            lvs[half] = {"extents": 1, "tags": [], "made": None}

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
