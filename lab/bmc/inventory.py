"""What the BMC says its machine is: FRU areas and sensor data records.

IPMI FRU storage definition 1.3; IPMI 2.0 section 43. Enough for clients to list; there is no hardware behind
the readings.
"""

import struct
from dataclasses import dataclass

from lab.bmc.kcs import checksum
from lab.definition import MachineDefinition

FRU_BYTES = 512
ENGLISH = 0x19
CHASSIS_RACK = 0x17
ASCII = 0xC0
END_OF_FIELDS = b"\xc1"
TEMPERATURE, FAN = 1, 4
CELSIUS, RPM = 1, 18


@dataclass(frozen=True)
class Sensor:
    """A sensor with a steady reading."""

    name: bytes
    kind: int
    unit: int
    reading: int


SENSORS = {
    1: Sensor(b"CPU1 Temp", TEMPERATURE, CELSIUS, 42),
    2: Sensor(b"Inlet Temp", TEMPERATURE, CELSIUS, 24),
    3: Sensor(b"FAN1", FAN, RPM, 120),
}


def _field(text: str) -> bytes:
    """Type and length byte, then the text.

    A single character would read as the end mark, so it gets a blank.
    """
    raw = text.encode("ascii", "replace")[:63]
    raw = raw + b" " if len(raw) == 1 else raw
    return bytes((ASCII | len(raw),)) + raw


def _area(head: bytes, *texts: str) -> bytes:
    body = head + b"".join(map(_field, texts)) + END_OF_FIELDS
    size = (len(body) + 3 + 7) // 8 * 8
    area = (bytes((1, size // 8)) + body).ljust(size - 1, b"\0")
    return area + bytes((checksum(area),))


def fru(machine: MachineDefinition) -> bytes:
    """FRU 0: chassis, board and product area."""
    maker, product, serial = machine.smbios.manufacturer, machine.smbios.product, machine.smbios.serial
    chassis = _area(bytes((CHASSIS_RACK,)), "CHS-1", f"C{serial}")
    board = _area(bytes((ENGLISH, 0, 0, 0)), maker, product, f"B{serial}", "PN-1", "")
    made = _area(bytes((ENGLISH,)), maker, product, "PN-1", "A01", serial, "", "")
    board_at = 1 + len(chassis) // 8
    header = bytes((1, 0, 1, board_at, board_at + len(board) // 8, 0, 0))
    return (header + bytes((checksum(header),)) + chassis + board + made).ljust(FRU_BYTES, b"\0")


def _full_sensor(record: int, number: int, sensor: Sensor) -> bytes:
    """Type 01h: linear, factor 1, upper thresholds readable."""
    name = bytes((ASCII | len(sensor.name),)) + sensor.name
    owner = bytes((0x20, 0, number, 7, 1, 0x7F, 0x68, sensor.kind, 1)) + bytes(6)
    units = bytes((0, sensor.unit, 0, 0, 1, 0, 0, 0, 0, 0))
    limits = bytes((0, 40, 90, 10, 255, 0, 110, 100, 90, 0, 0, 0, 2, 2, 0, 0, 0))
    return _record(record, 0x01, owner + units + limits + name)


def _record(number: int, kind: int, body: bytes) -> bytes:
    return struct.pack("<HBBB", number, 0x51, kind, len(body)) + body


def sdr_records() -> list[bytes]:
    """Sensors, the management controller, the FRU."""
    records = [_full_sensor(number, number, sensor) for number, sensor in SENSORS.items()]
    name = b"Virtual BMC"
    controller = bytes((0x20, 0, 0, 0xBF, 0, 0, 0, 7, 1, 0, ASCII | len(name))) + name
    records.append(_record(len(records) + 1, 0x12, controller))
    name = b"Builtin FRU"
    device = bytes((0x20, 0, 0x80, 0, 0, 0x10, 0, 7, 1, 0, ASCII | len(name))) + name
    records.append(_record(len(records) + 1, 0x11, device))
    return records
