"""Texts of MegaCli, hand-made: drives, volumes, an adapter, a battery, a summary."""

from metal.drivers.raid.megacli import parse


def drive(slot="0", state="Online, Spun Up", foreign="None", **more):
    """A drive as -PDList prints it, SATA; `more` takes the place of lines or is added."""
    lines = {
        "Enclosure Device ID": " 252",
        "Slot Number": f" {slot}",
        "Drive's position": " DiskGroup: 0, Span: 0, Arm: 0",
        "WWN": " 5000AB00C0FFEE01",
        "Media Error Count": " 0",
        "Predictive Failure Count": " 0",
        "PD Type": " SATA",
        "Raw Size": " 931.512 GB [0x74706db0 Sectors]",
        "Sector Size": "  0",
        "Firmware state": f" {state}",
        "Device Firmware Level": " FW07",
        "Inquiry Data": "      RF-000000000421RACKFLOW DISK 1000                      FW07",
        "Foreign State": f" {foreign} ",
        "Media Type": " Hard Disk Device",
        "Drive has flagged a S.M.A.R.T alert ": " No",
    } | {key.replace("_", " "): f" {value}" for key, value in more.items()}
    return "\n".join(f"{key}:{value}" for key, value in lines.items() if value != " ") + "\n\n"


def volume(identity="0", level="Primary-5, Secondary-0, RAID Level Qualifier-3", **more):
    """A virtual drive as -LDInfo of version 8 prints it."""
    lines = {
        "Name": "",
        "RAID Level": level,
        "Size": "1.817 TB",
        "State": "Optimal",
        "Strip Size": "64 KB",
        "Number Of Drives": "3",
        "Span Depth": "1",
        "Default Cache Policy": "WriteBack, ReadAhead, Direct, No Write Cache if Bad BBU",
        "Current Cache Policy": "WriteBack, ReadAhead, Direct, No Write Cache if Bad BBU",
    } | {key.replace("_", " "): value for key, value in more.items()}
    head = f"Virtual Drive: {identity} (Target Id: {identity})\n"
    return head + "".join(f"{key:<20}: {value}\n" for key, value in lines.items() if value is not None)


def span(*drives):
    head = f"Number of Spans: 1\nSpan: 0 - Number of PDs: {len(drives)}\n\n"
    return head + "".join(f"PD: {place} Information\n{one}" for place, one in enumerate(drives))


DONE = "\nExit Code: 0x00\n"
LDPD = (
    "Adapter #0\n\nNumber of Virtual Disks: 1\n" + volume() + span(drive("0"), drive("1"), drive("2")) + DONE
)


def only(text):
    (controller,) = parse(text).value.controllers
    return controller


ADAPTER = """Adapter #0

==============================================================================
                    Versions
                ================
Product Name    : RackFlow  RAID 9
Serial No       : RF900421
FW Package Build: 23.1.0-0007

                Image Versions In Flash:
                ================
FW Version         : 3.130.05-1796

                Capabilities
                ================
RAID Level Supported             : RAID0, RAID1, RAID5, RAID10RAID60, PRL 11, SRL 3 supported

                Device Present
                ================
Virtual Drives    : 2
  Degraded        : 1
  Offline         : 0
Physical Devices  : 5
  Failed Disks    : 0

                Error Counters
                ================
Memory Correctable Errors   : 3
Memory Uncorrectable Errors : 0

Any Offline VD Cache Preserved   : Yes
Enable JBOD                      : No
"""

BATTERY = """BBU status for Adapter: 0

BatteryType: iBBU
Temperature: 36 C
Battery State: Optimal
BBU Firmware Status:

  Voltage                      : OK
  Temperature                  : OK
  Battery Replacement required : No
  Remaining Capacity Low       : No

isSOHGood: Yes
"""

SUMMARY = """System
\tOperating System:  Linux version 5.10
\tCLI Version: 8.07.14

Hardware
        Controller
                 ProductName       : RackFlow RAID 9(Bus 0, Dev 0)
                 FW Package Version: 21.2.0-0007
                 Status            : Needs Attention
        BBU
                 BBU Type          : BBU
                 Status            : Failed
        Enclosure
                 Product Id        : SGPIO
                 Status            : OK

        PD
                Connector          : Port 0 - 3<Internal><Encl Pos 1 >: Slot 4
                Vendor Id          : RACKFLOW
                Product Id         : DISK15K300
                State              : Dedicated Hotspare
                Disk Type          : SAS,Solid State Device
                Capacity           : 278.464 GB

                Connector          : 00<Internal>: Slot 0
                Vendor Id          : RF
                Product Id         : BACKPLANE
                State              : Unconfigured Good
                Disk Type          : Unknown,Hard Disk Device
                Capacity           : 0 KB
Storage

       Virtual Drives
                Virtual drive      : Target Id 5 ,VD name data
                Size               : 5.455 TB
                State              : Optimal
                RAID Level         : 10

"""
