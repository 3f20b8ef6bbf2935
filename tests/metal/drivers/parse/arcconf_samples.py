"""Texts of arcconf, hand-made: controllers, volumes, drives, tasks."""

from metal.drivers.raid.arcconf import parse

RULE = "-" * 70
SUBRULE = "   " + "-" * 56
DONE = "\n\nCommand completed successfully.\n"
FOUND = "Controllers found: 1\n"


def section(title, body):
    return f"{RULE}\n{title}\n{RULE}\n{body}\n"


def fields(indent=3, **lines):
    return "".join(f"{' ' * indent}{key.replace('_', ' '):<41}: {value}\n" for key, value in lines.items())


def controller(**more):
    lines = {
        "Controller Status": "Optimal",
        "Controller Mode": "RAID (Hide RAW)",
        "Controller Model": "RackFlow SmartRAID  3100",
        "Controller Serial Number": "RF100421",
        "Temperature": "41 C/ 105 F (Normal)",
        "PCI Address (Domain:Bus:Device:Function)": "0:5e:0:1",
        "Defunct disk drive count": "0",
    } | {key.replace("_", " "): value for key, value in more.items()}
    version = f"{SUBRULE}\n   Controller Version Information\n{SUBRULE}\n" + fields(Firmware="5.2-0 (19109)")
    return section("Controller information", fields(**lines) + version)


def volume(number, *segments, word="device", **more):
    lines = {
        f"Logical {word} name": "data",
        "RAID level": "5",
        f"Status of logical {word}": "Optimal",
        "Size": "1000 MB",
        "Stripe-unit size": "256 KB",
        "Failed stripes": "No",
    } | {key.replace("_", " "): value for key, value in more.items()}
    rows = "".join(
        f"   {f'Segment {place}':<41}: {text}\n" for place, text in enumerate(segments) if segments
    )
    title = f"{SUBRULE}\n   Logical {word} segment information\n{SUBRULE}\n" if segments else ""
    return f"Logical {word} number {number}\n{fields(**lines)}{title}{rows}\n"


def drive(number, **more):
    lines = {
        "State": "Online",
        "Block Size": "512 Bytes",
        "Transfer Speed": "SATA 6.0 Gb/s",
        "Reported Channel,Device(T:L)": f"0,{number}({number}:0)",
        "Reported Location": f"Enclosure 0, Slot {number}",
        "Vendor": "RACKFLOW",
        "Model": "DISK 1000",
        "Firmware": "FW07",
        "Serial number": f"RF00000{number}",
        "World-wide name": f"5000AB00C0FFEE0{number}",
        "Used Size": "900 MB",
        "Total Size": "1000 MB",
        "S.M.A.R.T.": "No",
        "S.M.A.R.T. warnings": "0",
        "SSD": "No",
    } | {key.replace("_", " "): value for key, value in more.items()}
    return f"      Device #{number}\n         Device is a Hard drive\n{fields(9, **lines)}"


ENCLOSURE = """      Device #9
         Device is an Enclosure services device
         Reported Channel,Device(T:L)       : 2,0(0:0)
         Type                               : SES2
         Model                              : BACKPLANE
"""


def volumes(*bodies):
    return section("Logical device information", "".join(bodies))


def drives(*bodies):
    return section("Physical Device information", "".join(bodies) + ENCLOSURE)


def only(text):
    (one,) = parse(text).value.controllers
    return one


LIST = (
    "Controllers found: 2\n"
    + section(
        "Controller information",
        "   Controller ID             : Status, Slot, Mode, Name, SerialNumber, WWN\n",
    )
    + "   Controller 1:             : Optimal, Slot 8, HBA, RackFlow HBA, 16 ports, RF100421, 5000AB0C0FFEE\n"
    + "   Controller 2:             : Failed, Slot 9, RAID, RackFlow RAID, RF100422, 5000AB00C0FFEF\n"
)


def task(number, operation, status="In Progress", percent="11"):
    return (
        f"Logical device Task:\n   Logical device                 : {number}\n   Task ID : 10{number}\n"
        f"   Current operation              : {operation}\n   Status                         : {status}\n"
        f"   Priority : High\n   Percentage complete            : {percent}\n\n"
    )
