"""What storcli64 shows of an HBA with IR or IT firmware (driver mpt3sas): drives, and no way to a volume.

The controller is that of another family (sas3ircu); storcli names it `LSI3008-IR` or `-IT`, lists its
drives with State UGood (`-` for members of an IR volume) and answers everything about volumes with
"Un-supported command".
"""

from lab.raid.model import Controller
from lab.raid.storcli.answer import Answer, Dialect, Part, Row, Table, Values
from lab.raid.storcli.request import Request
from lab.raid.storcli.rows import PD_LEGEND, drive_details, drive_row, path, present


def is_hba(controller: Controller) -> bool:
    """Whether it is of the family that storcli64 lists and can't work with."""
    return controller.family == "sas3ircu"


def answer_of_hba(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    """Show the controller and its drives; refuse the rest."""
    if request.begins("show") and request.words[1:] in ((), ("all",)):
        if request.kind == "controller":
            return _controller(dialect, one, index)
        if request.kind == "drive":
            return _drives(request, dialect, one, index)
    return Answer(index, "Un-supported command", ok=False, code=255)


def _row(one: Controller, number: int, dialect: Dialect) -> Row:
    drive = present(one)[number]
    row = drive_row(one, drive, dialect)
    member = drive.condition in ("online", "rebuilding")
    row |= {"State": "-" if member else "UGood", "DG": "-", "Size": dialect.size(drive.size_bytes)}
    row.pop("Type", None)
    return row


def _controller(dialect: Dialect, one: Controller, index: int) -> Answer:
    values = {
        "Product Name": one.model,
        "Serial Number": one.serial,
        "SAS Address": f" {one.serial}",
        "PCI Address": one.pci[2:].replace(".", ":0"),
        "FW Package Build": "00.00.00.00",
        "FW Version": one.firmware,
        "Driver Name": "mpt3sas",
        "Driver Version": "43.100.00.00",
        "Vendor Id": 4096,
        "Device Id": 151,
        "Board Name": one.model,
    }
    rows = [_row(one, number, dialect) for number in range(len(present(one)))]
    parts: list[Part] = [Values("", values), Table("PD LIST", rows, PD_LEGEND, "Physical Drives")]
    parts.append(Values("", {"Requested Boot Drive": "Not Set"}))
    return Answer(index, parts=parts, takes_s=2)


def _drives(request: Request, dialect: Dialect, one: Controller, index: int) -> Answer:
    found = [
        (number, drive)
        for number, drive in enumerate(present(one))
        if (request.enclosures is None or (drive.enclosure in request.enclosures))
        or (request.enclosures == () and drive.enclosure is None)
        if request.numbers is None or drive.slot in request.numbers
    ]
    if not found:
        return Answer(index, "No drive found!", ok=False, code=255)
    parts: list[Part] = []
    for number, drive in found:
        at = path(index, drive)
        parts.append(Table(f"Drive {at}", [_row(one, number, dialect)]))
        if request.begins("show", "all"):
            details = drive_details(one, drive, dialect, at)
            parts.append(Values(f"Drive {at} - Detailed Information", details))
    return Answer(index, "Show Drive Information Succeeded.", parts=parts, takes_s=2)
