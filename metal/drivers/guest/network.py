"""Network files for systemd-networkd: the planner writes their text; here they become our only ones."""

from collections.abc import Mapping
from typing import Final

from metal.drivers.guest.document import Document, GuestFile, Link
from metal.drivers.guest.facts import NETWORKD_ENABLED, sha256_of
from specs.facts import SystemFacts

UNIT: Final = "/lib/systemd/system/systemd-networkd.service"


def differences(facts: SystemFacts, files: Mapping[str, str]) -> tuple[str, ...]:
    """Say which files differ or are too many."""
    wanted = {path: sha256_of(text.encode()) for path, text in files.items()}
    wrong = [f"{path} differs" for path, digest in wanted.items() if facts.network_files.get(path) != digest]
    stale = [f"{path} is not in the spec" for path in facts.network_files if path not in wanted]
    return (*sorted(wrong), *sorted(stale))


def document(facts: SystemFacts, files: Mapping[str, str]) -> Document:
    """Write what differs, remove our stale files, enable the service; a running system reloads."""
    changed = {p: t for p, t in files.items() if facts.network_files.get(p) != sha256_of(t.encode())}
    return Document(
        says=f"write {len(changed)} network files",
        files=tuple(GuestFile(path, text.encode()) for path, text in sorted(changed.items())),
        links=(Link(NETWORKD_ENABLED, UNIT),),
        remove=tuple(sorted(path for path in facts.network_files if path not in files)),
        run=(("networkctl", "reload"),),
    )
