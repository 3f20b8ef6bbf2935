"""Small outputs of storcli in its text form, made by hand."""

GIB = 1 << 30
TIB = 1 << 40
LEGEND = """
EID=Enclosure Device ID|Slt=Slot No|DID=Device ID|DG=DriveGroup
UBad=Unconfigured Bad|Sntze=Sanitize|Onln=Online|Offln=Offline|Intf=Interface
UBUnsp=UBad Unsupported|Rbld=Rebuild
"""


def head(controller=0, status="Success", description="None", version="007.2612.0000.0000 Jun 13, 2023"):
    return (
        f"CLI Version = {version}\nOperating system = Linux 6.1.0-18-amd64\nController = {controller}\n"
        f"Status = {status}\nDescription = {description}\n\n"
    )


def table(title, *lines):
    """A titled table as storcli draws it: rulers as wide as the widest line."""
    ruler = "-" * max(map(len, lines))
    first, *rows = lines
    named = f"{title} :\n{'=' * len(title)}\n\n" if title else ""
    return "\n".join([named + ruler, first, ruler, *rows, ruler, LEGEND, ""])


PRODUCT = """Product Name = RackRAID 3108
Serial Number = RF-SK0001
SAS Address =  500605b00badf00d
PCI Address = 00:af:00:01
FW Package Build = 24.21.0-0028
FW Version = 4.680.00-8290
Current Personality = RAID-Mode
Bus Number = 175
"""
TOPOLOGY = table(
    "TOPOLOGY",
    "DG Arr Row EID:Slot DID Type  State BT     Size PDC  PI SED DS3  FSpace TR",
    " 0 -   -   -        -   RAID5 Dgrd  N  5.457 TB dflt N  N   dflt N      N",
    " 0 0   -   -        -   RAID5 Dgrd  N  5.457 TB dflt N  N   dflt N      N",
    " 0 0   0   32:1     11  DRIVE Onln  N  2.728 TB dflt N  N   dflt -      N",
    " 0 0   1   32:0     10  DRIVE Onln  N  2.728 TB dflt N  N   dflt -      N",
    " 0 0   2   -        -   DRIVE Msng  -  2.728 TB -    -  -   -    -      N",
)
VOLUMES = table(
    "VD LIST",
    "DG/VD TYPE  State Access Consist Cache Cac sCC     Size Name",
    "0/239 RAID5 Dgrd  RW     Yes     RWBD  -   ON  5.457 TB two words",
)
DRIVES = table(
    "PD LIST",
    "EID:Slt DID State DG     Size Intf Med SED PI SeSz Model             Sp Type",
    "32:0     10 Onln   0 2.728 TB SATA HDD N   N  512B WDC WD30EFRX-68AX U  -",
    "32:1     11 Onln   0 2.728 TB SAS  HDD N   N  4 KB ST3000NM0023      U  -",
    "32:2     12 UGood  - 2.728 TB SAS  SSD N   N  512B PX05SVB320        D  -",
)
LISTING = (
    head()
    + PRODUCT
    + "Drive Groups = 1\n\n"
    + TOPOLOGY
    + "Virtual Drives = 1\n\n"
    + VOLUMES
    + "Physical Drives = 3\n\n"
    + DRIVES
)
PROGRESS = head(description="Show Drive Rebuild Status Succeeded.") + table(
    "",
    "Drive-ID   Progress% Status          Estimated Time Left",
    "/c0/e32/s0 -         Not in progress -",
    "/c0/s7     41        In progress     4 Days 3 Hours 51 Minutes",
)
