"""Storage and sensor commands: FRU, SDR, SEL, readings (IPMI 2.0 sections 31, 33 to 35)."""

import struct

from lab.bmc import inventory
from lab.bmc.commands.privilege import OPERATOR, USER
from lab.bmc.completion import Completion, Refused
from lab.bmc.controller import Call, Command

FIRST, LAST = 0x0000, 0xFFFF
WHOLE_RECORD = 0xFF
MAX_READ = 64
SEL_CAPACITY = 512
CLEAR = 0xAA
IPMI_VERSION = 0x51


def _unpack(form: str, data: bytes) -> tuple[int, ...]:
    if len(data) < struct.calcsize(form):
        raise Refused(Completion.LENGTH_INVALID)
    return struct.unpack_from(form, data)


def _reserve(call: Call) -> bytes:
    call.bmc.reservation = call.bmc.reservation % 0xFFFF + 1
    return struct.pack("<H", call.bmc.reservation)


def _record(records: list[bytes], wanted: int, offset: int, count: int) -> bytes:
    """Next record's id, then a part of this one; ids are positions from 1."""
    index = 0 if wanted == FIRST else len(records) - 1 if wanted == LAST else wanted - 1
    if not 0 <= index < len(records):
        raise Refused(Completion.NOT_PRESENT)
    part = records[index][offset:] if count == WHOLE_RECORD else records[index][offset : offset + count]
    if len(part) > MAX_READ:
        raise Refused(Completion.TOO_MANY_BYTES)
    following = index + 2 if index + 1 < len(records) else LAST
    return struct.pack("<H", following) + part


def get_fru_area(call: Call) -> bytes:
    """Size of FRU 0, addressed by bytes."""
    if call.data[0]:
        raise Refused(Completion.NOT_PRESENT)
    return struct.pack("<HB", len(inventory.fru(call.bmc.identity)), 0)


def read_fru(call: Call) -> bytes:
    """A part of FRU 0."""
    device, offset, count = _unpack("<BHB", call.data)
    if device:
        raise Refused(Completion.NOT_PRESENT)
    part = inventory.fru(call.bmc.identity)[offset : offset + min(count, MAX_READ)]
    return bytes((len(part),)) + part


def get_sdr_info(_call: Call) -> bytes:
    """Number of records."""
    return struct.pack("<BHHIIB", IPMI_VERSION, len(inventory.sdr_records()), 0x8000, 0, 0, 2)


def get_sdr(call: Call) -> bytes:
    """A part of a record."""
    _, wanted, offset, count = _unpack("<HHBB", call.data)
    return _record(inventory.sdr_records(), wanted, offset, count)


def get_reading(call: Call) -> bytes:
    """A steady value; scanning and events on."""
    sensor = inventory.SENSORS.get(call.data[0])
    if sensor is None:
        raise Refused(Completion.NOT_PRESENT)
    return bytes((sensor.reading, 0xC0, 0xC0))


def get_thresholds(_call: Call) -> bytes:
    """Upper ones only."""
    return bytes((0x38, 0, 0, 0, 90, 100, 110))


def get_sel_info(call: Call) -> bytes:
    """Entries and free bytes."""
    entries = len(call.state.sel)
    free = (SEL_CAPACITY - entries) * 16
    return struct.pack("<BHHIIB", IPMI_VERSION, entries, min(free, 0xFFFF), int(call.bmc.clock()), 0, 2)


def get_sel_entry(call: Call) -> bytes:
    """One entry of 16 bytes."""
    _, wanted, offset, count = _unpack("<HHBB", call.data)
    return _record([bytes.fromhex(entry) for entry in call.state.sel], wanted, offset, count)


def add_sel_entry(call: Call) -> bytes:
    """Keep an entry; the BMC gives it id and time."""
    if len(call.data) != 16:
        raise Refused(Completion.LENGTH_INVALID)
    if len(call.state.sel) >= SEL_CAPACITY:
        raise Refused(Completion.OUT_OF_SPACE)
    number = struct.pack("<H", len(call.state.sel) + 1)
    stamp = struct.pack("<I", int(call.bmc.clock()))
    call.state.sel.append((number + call.data[2:3] + stamp + call.data[7:]).hex())
    call.bmc.save()
    return number


def clear_sel(call: Call) -> bytes:
    """Erase, or ask whether erasing is done: it always is."""
    if call.data[2:5] != b"CLR":
        raise Refused(Completion.INVALID_FIELD)
    if call.data[5] == CLEAR:
        call.state.sel.clear()
        call.bmc.save()
    return b"\x01"


def get_sel_time(call: Call) -> bytes:
    """The BMC's clock."""
    return struct.pack("<I", int(call.bmc.clock()))


def set_sel_time(_call: Call) -> bytes:
    """The clock is right already."""
    return b""


COMMANDS = {
    (0x04, 0x27): Command(get_thresholds, USER, 1),
    (0x04, 0x2D): Command(get_reading, USER, 1),
    (0x0A, 0x10): Command(get_fru_area, USER, 1),
    (0x0A, 0x11): Command(read_fru, USER, 4),
    (0x0A, 0x20): Command(get_sdr_info, USER),
    (0x0A, 0x22): Command(_reserve, USER),
    (0x0A, 0x23): Command(get_sdr, USER, 6),
    (0x0A, 0x40): Command(get_sel_info, USER),
    (0x0A, 0x42): Command(_reserve, USER),
    (0x0A, 0x43): Command(get_sel_entry, USER, 6),
    (0x0A, 0x44): Command(add_sel_entry, OPERATOR, 16),
    (0x0A, 0x47): Command(clear_sel, OPERATOR, 6),
    (0x0A, 0x48): Command(get_sel_time, USER),
    (0x0A, 0x49): Command(set_sel_time, OPERATOR, 4),
}
