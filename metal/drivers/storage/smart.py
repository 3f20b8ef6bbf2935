"""What smartctl tells of a drive, as JSON (7.0 and later) or as text of any version.

smartctl's exit status is a mask of bits and says nothing about whether the drive was read: 64 is "the error
log has entries". A drive that could not be opened gives messages and nothing else, which is an answer too.
`smartctl --scan` lists devices; that is another value.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metal.drivers.identity.placeholders import Identities
from metal.drivers.parsed import Parsed
from metal.drivers.storage import smart_text
from metal.drivers.storage.smart_text import TOOL, ScannedDevice, ScannedDevices, SmartDrive
from metal.drivers.tool_text import (
    Document,
    Documents,
    json_documents,
    lines_of,
    one_line,
    unparsable,
)


@dataclass(frozen=True, slots=True)
class _Object:
    """A JSON object, asked by path; a value of another type than asked for is as good as none."""

    value: Mapping[str, Any]

    def at(self, *path: str) -> Any:
        found: Any = self.value
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    def text(self, *path: str) -> str | None:
        found = self.at(*path)
        return one_line(found) if isinstance(found, str) else None

    def integer(self, *path: str) -> int | None:
        found = self.at(*path)
        if isinstance(found, str) and re.fullmatch(r"\d{1,19}", found):
            return int(found)  # "bytes_s" and its like: for readers without 64-bit numbers
        sane = isinstance(found, int) and not isinstance(found, bool) and 0 <= found < 1 << 64
        return found if sane else None

    def truth(self, *path: str) -> bool | None:
        found = self.at(*path)
        return found if isinstance(found, bool) else None

    def objects(self, *path: str) -> tuple["_Object", ...]:
        found = self.at(*path)
        entries = found if isinstance(found, list) else []
        return tuple(_Object(entry) for entry in entries if isinstance(entry, dict))


def parse(text: str) -> Parsed[SmartDrive] | Parsed[ScannedDevices]:
    """The drive of `smartctl -a`, `-i` or `-x`, or the devices of `--scan`; of several drives the last."""
    lines = lines_of(TOOL, text)
    if not any(line.words[:1] == "{" for line in lines):
        return smart_text.parse(lines)
    documents = json_documents(TOOL, text, opening="{")
    told = [one for one in documents.found if isinstance(one.value, dict) and _is_smartctl(one.value)]
    if not told:
        raise unparsable(TOOL, documents.found[0].line if documents.found else 1, "an object of smartctl")
    return _json(told[-1], documents)


def _is_smartctl(value: Mapping[str, Any]) -> bool:
    return isinstance(value.get("smartctl"), dict) or ("device" in value and "json_format_version" in value)


def _json(document: Document, documents: Documents) -> Parsed[SmartDrive] | Parsed[ScannedDevices]:
    seen = _Object(document.value)
    argv = seen.at("smartctl", "argv")
    if "devices" in seen.value or (
        isinstance(argv, list) and any(str(arg).startswith("--scan") for arg in argv)
    ):
        return Parsed(_scan(seen, document), documents.ignored)
    known = Identities()
    return Parsed(_drive(seen, known), documents.ignored, tuple(known.paths))


def _scan(seen: _Object, document: Document) -> ScannedDevices:
    devices = []
    for entry in seen.objects("devices"):
        name = entry.text("name")
        if name is None:
            raise unparsable(TOOL, document.line, "a scanned device with its name", "none")
        devices.append(ScannedDevice(name, entry.text("type")))
    return ScannedDevices(tuple(devices))


def _drive(seen: _Object, known: Identities) -> SmartDrive:
    return SmartDrive(
        device=seen.text("device", "name"),
        type=seen.text("device", "type"),
        model=known.name(smart_text.plain_text(_model(seen)), "model"),
        serial=known.serial(smart_text.plain_text(seen.text("serial_number")), "serial"),
        firmware=smart_text.plain_text(
            seen.text("firmware_version") or seen.text("scsi_revision") or seen.text("revision")
        ),
        capacity_bytes=_capacity(seen),
        logical_sector=seen.integer("logical_block_size") or _namespace_sector(seen),
        physical_sector=seen.integer("physical_block_size"),
        rpm=seen.integer("rotation_rate"),
        passed=seen.truth("smart_status", "passed"),
        exit_status=seen.integer("smartctl", "exit_status"),
        messages=tuple(
            message for entry in seen.objects("smartctl", "messages") if (message := entry.text("string"))
        ),
    )


def _model(seen: _Object) -> str | None:
    """The model without a SCSI vendor; 7.0 to 7.2 have `product`, later ones `scsi_product`."""
    product = seen.text("scsi_product") or seen.text("product")
    return product or seen.text("model_name") or seen.text("scsi_model_name")


def _capacity(seen: _Object) -> int | None:
    """The user's capacity; of an NVMe controller looked at as a whole, that of all its namespaces."""
    sizes = (
        seen.integer("user_capacity", "bytes"),
        seen.integer("user_capacity", "bytes_s"),
        *(entry.integer("size", "bytes") for entry in seen.objects("nvme_namespaces")[:1]),
        seen.integer("nvme_total_capacity"),
    )
    return next((size for size in sizes if size is not None), None)


def _namespace_sector(seen: _Object) -> int | None:
    namespaces = seen.objects("nvme_namespaces")
    return namespaces[0].integer("formatted_lba_size") if len(namespaces) == 1 else None
