"""How encrypted file systems are opened: with which key, by the TPM or a copy of it, and what is tried first.

Keys stand in a plan by reference. The TPM opens beside the key and never instead of it: a header keeps the
slot of its secret, with which a person opens it on any machine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from metal.planning.choice import Chosen, Cut
from metal.planning.file_systems import file_systems
from metal.planning.mounting import formatted, key_path, unlocked_name
from metal.planning.plan import Step
from metal.planning.tpm import names_of, sealed
from metal.planning.volume_groups import Group
from metal.planning.wish import secret_ref
from specs.facts import Tpm
from specs.model import Formatted, Host


@dataclass(frozen=True, slots=True)
class Encryption:
    """What steps are told of the encrypted file systems of one machine."""

    secrets: Mapping[str, int]
    tpm: Tpm | None

    def args(self, part: Formatted) -> dict[str, Any]:
        """The encryption of a step: its key by reference, what the opened device is called, who opens it."""
        if part.luks is None:
            return {}
        told: dict[str, Any] = {"secret": secret_ref(part.luks.key.secret, self.secrets)}
        told["unlocked"] = unlocked_name(part.name)
        return {"luks": told | ({"tpm2": True} if sealed(part, self.tpm) else {})}

    def before(self, spec: Host, chosen: Chosen) -> Iterator[Step]:
        """What must hold before anything is erased: the TPM works, and what stays opens with its key."""
        found = [part for part in formatted(spec) if sealed(part, self.tpm)]
        if found:
            told = f"the TPM must keep a key and give it back, to unlock {names_of(found)}"
            yield Step(id="tpm2", kind="tpm2", field="disks", reason=told, minutes=0.1)
        for one in file_systems(chosen):
            if one.stays and one.part.luks:
                yield self._open(one.part, one.place)

    def unlocks(self, chosen: Chosen) -> Iterator[dict[str, Any]]:
        """Entries of crypttab: partitions by the UUID of their header, logical volumes by their device."""
        for cut in (chosen.root, *chosen.data):
            yield from self._of_cut(cut) if cut else ()
        for group in chosen.groups:
            yield from self._of_group(group)

    def _of_cut(self, cut: Cut) -> Iterator[dict[str, Any]]:
        for one in cut.plan.added:
            if one.part.luks and not one.part.lvm:
                seen = cut.stays(one.part)
                yield self._unlock(one.part) | ({"luks_uuid": seen.fs_uuid} if seen else {})

    def _of_group(self, group: Group) -> Iterator[dict[str, Any]]:
        for volume in group.volumes:
            if volume.part.luks:
                yield self._unlock(volume.part) | {"device": f"/dev/{group.name}/{volume.part.name}"}

    def _unlock(self, part: Formatted) -> dict[str, Any]:
        told = {"name": part.name, **self.args(part)["luks"]}
        return told if sealed(part, self.tpm) else told | {"key_path": key_path(part.name)}

    def _open(self, part: Formatted, place: dict[str, Any]) -> Step:
        told = f"{part.name} stays, and must open with {part.luks.key.secret if part.luks else ''}"
        return Step(
            id=f"luks-open:{part.name}",
            kind="luks-open",
            field="disks",
            new=f"{part.name} opened by the TPM too" if sealed(part, self.tpm) else None,
            reason=told,
            minutes=0.1,
            args={**place, "name": part.name, **self.args(part)},
        )
