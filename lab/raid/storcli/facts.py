"""What storcli says of a controller itself: `show` in a few lines, `show all` in its many sections."""

from typing import Any, Final

from lab.raid import model
from lab.raid.model import Controller
from lab.raid.storcli.answer import Dialect, Part, Values

_LEVELS_A_LINE: Final = 7
"""A list of levels is broken after so many, with the comma before the break."""


def _pci(one: Controller, dialect: Dialect) -> str:
    """`00:5e:00:00` for 0000:5e:00.0; storcli2 writes the function as one digit."""
    domain, bus, rest = one.pci.split(":")
    device, _, function = rest.partition(".")
    return f"{domain[-2:]}:{bus}:{device}:{function if dialect.second else function.zfill(2)}"


def product(one: Controller, dialect: Dialect) -> dict[str, Any]:
    """The first lines of `/c0 show`."""
    if dialect.second:
        return {
            "Product Name": one.model,
            "Board Tracer Number": one.serial.ljust(32),
            "Chip Name": "SAS4116W".ljust(32),
            "Firmware Version": one.firmware,
            "Driver Name": "mpi3mr",
            "Driver Version": "8.9.1.0.51",
            "SAS Address": "0x500062b200000000",
            "Serial Number": one.serial.ljust(32),
            "Controller Personality": "RAID",
            "PCI Address": _pci(one, dialect),
        }
    return {
        "Product Name": one.model,
        "Serial Number": one.serial,
        "SAS Address": " 500605b000000000",
        "PCI Address": _pci(one, dialect),
        "FW Package Build": "24.21.0-0159",
        "FW Version": one.firmware,
        "Driver Name": "megaraid_sas",
        "Driver Version": "07.719.03.00-rc1",
        "Current Personality": "RAID-Mode ",
        "Vendor Id": 4096,
        "Device Id": 93,
        "Host Interface": "PCI-E",
        "Device Interface": "SAS-12G",
    }


def _levels(one: Controller, dialect: Dialect) -> str:
    names = [level.upper() for level in one.limits.levels if level.startswith("raid")]
    if dialect.second:
        return ", ".join(names)
    lines = [names[n : n + _LEVELS_A_LINE] for n in range(0, len(names), _LEVELS_A_LINE)]
    return ", \n".join(", ".join(line) for line in lines)


def _yes(value: object) -> str:
    return "Yes" if value else "No"


def _status(one: Controller) -> dict[str, Any]:
    well = all(model.volume_state(one, volume) == "optimal" for volume in one.volumes)
    return {
        "Controller Status": "Optimal" if well else "Needs Attention",
        "Memory Correctable Errors": 0,
        "Memory Uncorrectable Errors": 0,
        "ECC Bucket Count": 0,
    }


def everything(one: Controller, dialect: Dialect, index: int) -> list[Part]:
    """The sections of `/c0 show all`, up to the lists."""
    return _second(one, dialect) if dialect.second else _first(one, dialect, index)


def _first(one: Controller, dialect: Dialect, index: int) -> list[Part]:
    plain = product(one, dialect)
    strips = [f"{size >> 10} KB" if size < 1 << 20 else "1.0 MB" for size in one.limits.strips or (65536,)]
    return [
        Values("Basics", {
            "Controller": index, "Model": one.model, "Serial Number": one.serial,
            "SAS Address": plain["SAS Address"].strip(), "PCI Address": plain["PCI Address"],
            "Mfg Date": "10/22/17", "Revision No": "04A",
        }),
        Values("Version", {
            "Firmware Package Build": plain["FW Package Build"], "Firmware Version": one.firmware,
            "Driver Name": plain["Driver Name"], "Driver Version": plain["Driver Version"],
        }),
        Values("Bus", {
            "Vendor Id": 4096, "Device Id": 93, "SubVendor Id": 4096, "SubDevice Id": 37728,
            "Host Interface": "PCI-E", "Device Interface": "SAS-12G",
        }),
        Values("Pending Images in Flash", {"Image name": "No pending images"}),
        Values("Status", _status(one) | {
            "Any Offline VD Cache Preserved": _yes(one.pinned),
            "BBU Status": 0 if one.battery == "optimal" else "NA" if one.battery == "missing" else 16,
            "Controller has booted into safe mode": "No", "Controller shutdown required": "No",
            "Current Personality": "RAID-Mode ",
        }),
        Values("Supported Adapter Operations", {
            "Rebuild Rate": "Yes", "Foreign Config Import": "Yes", "Global Hot Spares": "Yes",
            "Dedicated Hot Spare": "Yes", "Support JBOD": _yes(one.limits.jbod),
        }),
        Values("HwCfg", {
            "ChipRevision": " C0", "BBU": "Absent" if one.battery == "missing" else "Present",
            "On Board Memory Size": "2048MB",
        }),
        Values("Defaults", {"Strip Size": strips[0], "Write Policy": "WB", "Read Policy": "Read Ahead"}),
        Values("Capabilities", {
            "Supported Drives": "SAS, SATA", "RAID Level Supported": _levels(one, dialect),
            "Enable JBOD": _yes(one.jbod_mode), "Mix in Enclosure": "Allowed",
            "Mix of SAS/SATA of HDD type in VD": "Not Allowed", "Mix of SSD/HDD in VD": "Not Allowed",
            "Max Arms Per VD": one.limits.most_drives, "Max Spans Per VD": 8, "Max VD per array": 16,
            "Max Number of VDs": one.limits.most_volumes,
            "Min Strip Size": strips[0], "Max Strip Size": strips[-1],
        }),
        Values("Scheduled Tasks", {
            "Consistency Check Reoccurrence": "168 hrs", "Patrol Read Reoccurrence": "168 hrs",
            "OEMID": "LSI",
        }),
    ]  # fmt: skip


def _second(one: Controller, dialect: Dialect) -> list[Part]:
    return [
        Values("Basics", {
            "Product Name": one.model, "Board Tracer Number": one.serial.ljust(32),
            "SAS Address": "0x500062b200000000", "Serial Number": one.serial, "OEM": "Broadcom",
        }),
        Values("Version", {
            "Firmware Version": one.firmware, "Driver Name": "mpi3mr", "Driver Version": "8.5.0.0.50",
        }),
        Values("HostInterface", {"PCI Address": _pci(one, dialect), "PCIe Link Width": "X8 Lane(s)"}),
        Values("Status", _status(one) | {
            "VD Count": len(one.volumes), "Preserved Cache Present": _yes(one.pinned),
            "System Reboot Required": "No", "Controller Personality": "RAID",
        }),
        Values("Max. Supported Config", {
            "Max Number of VDs": one.limits.most_volumes, "Max PD Per Array": one.limits.most_drives,
            "Max Spans Per VD": 8,
        }),
        Values("Capabilities", {
            "Supported Drive Interfaces": "SAS, SATA, NVMe", "Supported RAID Levels": _levels(one, dialect),
            "Mix of SSD/HDD in VD": "Not Allowed",
        }),
        Values("Scheduled Tasks", {"Patrol Read Execution Frequency(hours)": "168"}),
    ]  # fmt: skip
