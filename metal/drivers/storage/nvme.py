"""What the nvme command tells: `list` of namespaces and `id-ctrl` of a controller, of nvme-cli 1.x and 2.x.

`list` as JSON is flat in 1.x; 2.x nests Subsystems, Controllers and Namespaces, and with native multipath a
namespace stands beside its controllers instead of below one. Sizes in the table are rounded, powers of 1000.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from metal.drivers.identity.placeholders import Identities
from metal.drivers.parsed import Parsed
from metal.drivers.storage import nvme_table
from metal.drivers.storage.nvme_table import TOOL, NvmeNamespace, NvmeNamespaces
from metal.drivers.tool_text import (
    Document,
    Line,
    is_prompt,
    json_documents,
    key_value,
    lines_of,
    number,
    shorten,
    unparsable,
)

SANITIZE: Final = ((0, "crypto-erase"), (1, "block-erase"), (2, "overwrite"))
"""Bits of SANICAP (NVM Express 1.3, figure 109), named as the actions of `nvme sanitize`."""
FORMAT_CRYPTO: Final = 1 << 2
"""Bit of FNA: Format NVM can erase cryptographically."""
_ID_CTRL = re.compile(r"^NVME Identify Controller", re.IGNORECASE)
_NONE_FOUND = re.compile(r"^No NVMe devices detected", re.IGNORECASE)
_LIMIT_DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class NvmeController:
    """`id-ctrl`: who the controller is, and how it can erase itself."""

    model: str | None = None
    serial: str | None = None
    firmware: str | None = None
    sanitize: tuple[str, ...] = ()
    format_crypto: bool | None = None


def parse(text: str) -> Parsed[NvmeNamespaces] | Parsed[NvmeController]:
    """Namespaces of `list`, or the controller of `id-ctrl`; of several outputs the last."""
    lines = lines_of(TOOL, text)
    if any(line.words[:1] == "{" for line in lines):
        return _json(text)
    lines = lines_of(TOOL, text, longest=nvme_table.LIMIT_LINE)
    starts = [place for place, line in enumerate(lines) if _ID_CTRL.match(line.words)]
    values = _values(lines[starts[-1] :] if starts else lines)
    if starts or {"vid", "sn", "mn"} <= values.keys():
        ignored = [line.words for line in lines[: starts[0] if starts else 0]]
        return _id_ctrl(values, lines[-1], tuple(ignored))
    if any(_NONE_FOUND.match(line.words) for line in lines):
        return Parsed(NvmeNamespaces(), shorten([line.words for line in lines]))
    return nvme_table.parse(lines)


def _values(lines: tuple[Line, ...]) -> dict[str, str]:
    """`sn        : S4EV…` lines; the bits that -H explains are indented or in brackets."""
    found: dict[str, str] = {}
    for line in lines:
        pair = key_value(line)
        if pair and not is_prompt(line.words) and not line.words.startswith("["):
            found.setdefault(*pair)
    return found


def _id_ctrl(
    values: Mapping[str, Any], place: Line | int, ignored: tuple[str, ...]
) -> Parsed[NvmeController]:
    """The controller, by the names of the fields that text and JSON have in common."""
    missing = [key for key in ("sn", "mn", "fr") if not isinstance(values.get(key), str)]
    if missing:
        raise unparsable(TOOL, place, f"'{missing[0]}' of the controller", "the end of its fields")
    known = Identities()
    sanitize, format_nvm = _bits(values.get("sanicap")), _bits(values.get("fna"))
    controller = NvmeController(
        model=known.name(values["mn"], "model"),
        serial=known.serial(values["sn"], "serial"),
        firmware=known.name(values["fr"], "firmware"),
        sanitize=tuple(name for bit, name in SANITIZE if sanitize is not None and sanitize >> bit & 1),
        format_crypto=bool(format_nvm & FORMAT_CRYPTO) if format_nvm is not None else None,
    )
    return Parsed(controller, shorten(ignored), tuple(known.paths))


def _bits(value: object) -> int | None:
    if isinstance(value, str):
        return number(value)
    sane = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64
    return value if sane and isinstance(value, int) else None


def _json(text: str) -> Parsed[NvmeNamespaces] | Parsed[NvmeController]:
    documents = json_documents(TOOL, text, opening="{")
    told = [
        one for one in documents.found if isinstance(one.value, dict) and {"Devices", "mn"} & one.value.keys()
    ]
    if not told:
        line = documents.found[0].line if documents.found else 1
        raise unparsable(TOOL, line, "an object with Devices, or a controller's mn, sn and fr", "other JSON")
    last = told[-1]
    if "Devices" not in last.value:
        return _id_ctrl(last.value, last.line, documents.ignored)
    if not isinstance(last.value["Devices"], list):
        raise unparsable(TOOL, last.line, "a list of Devices", type(last.value["Devices"]).__name__)
    found: dict[str, NvmeNamespace] = {}
    for namespace in _namespaces(last.value["Devices"], {}, last, 0):
        found.setdefault(namespace.device or str(len(found)), namespace)
    return nvme_table.told(list(found.values()), documents.ignored)


def _namespaces(
    entries: Any, above: Mapping[str, Any], document: Document, depth: int
) -> Iterator[NvmeNamespace]:
    """Namespaces at any level; what they do not say themselves is their controller's."""
    if not isinstance(entries, list) or depth > _LIMIT_DEPTH:
        raise unparsable(TOOL, document.line, "a list of devices", type(entries).__name__)
    for entry in entries:
        if not isinstance(entry, dict):
            raise unparsable(TOOL, document.line, "a device", type(entry).__name__)
        known = {**above, **{key: value for key, value in entry.items() if not isinstance(value, list)}}
        controllers = entry.get("Controllers") or []
        if isinstance(controllers, list) and controllers and isinstance(controllers[0], dict):
            beside = {key: value for key, value in controllers[0].items() if not isinstance(value, list)}
            known = {**beside, **known}
        if "DevicePath" in entry or "NameSpace" in entry or "Namespace" in entry:
            yield _namespace(known)
        for key in ("Subsystems", "Controllers", "Namespaces"):
            if entry.get(key):
                yield from _namespaces(entry[key], known, document, depth + 1)


def _namespace(values: Mapping[str, Any]) -> NvmeNamespace:
    """One namespace: 1.x says /dev/nvme0n1, 2.x nvme0n1; a NameSpace that is a number is the NSID of 1.x."""
    names = (values.get("DevicePath"), values.get("NameSpace"), values.get("Namespace"))
    name = next((name for name in names if isinstance(name, str) and name.strip()), None)
    return NvmeNamespace(
        device=f"/dev/{name.strip().removeprefix('/dev/')}" if name else None,
        model=_text(values.get("ModelNumber")),
        serial=_text(values.get("SerialNumber")),
        firmware=_text(values.get("Firmware")),
        size_bytes=_bits(values.get("PhysicalSize")),
        lba_bytes=_bits(values.get("SectorSize")),
    )


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
