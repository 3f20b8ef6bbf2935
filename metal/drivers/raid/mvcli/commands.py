"""Marvell boot cards as a RAID family: mvcli for 88SE9230 (Dell BOSS-S1, Lenovo's kits), mnv_cli for NVMe.

A card holds two disks and makes a mirror of them, some a stripe; disks in no volume go straight to the
system. There are no spares, no cache, and no volume smaller than its disks. Which disks and volumes a
card has is asked card by card, because every command works on the card that was chosen last (`adapter`):
so that each change of a second card chooses it first. `--waiveconfirmation` answers the questions of
create and delete; mnv_cli's create knows no such word and asks nothing.

Grammar: Dell's BOSS-S1 guide, the help text of mvcli 4.1.13 and sessions seen.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers.bundle import Query
from metal.drivers.raid.family import (
    PciRule,
    VolumeWish,
    address_of,
    answer_of,
    change,
    drives_told,
    id_of,
    index_of,
)
from metal.drivers.raid.listing import Controller, Drive, Level, VirtualDrive
from metal.drivers.raid.mvcli import TOOL, parse
from metal.drivers.raid.session import merged
from metal.errors import Refused, Unparsable
from metal.protocols import Command, Output

LISTING_SCRIPT: Final = r"""h=$("$1" info -o hba); s=$?; printf '%s\n' "$h"; [ "$s" -eq 0 ] || exit "$s"
for i in $(printf '%s\n' "$h" | sed -n 's/^ *\(Adapter ID:\|[Cc]ontroller ID:\|NVMe Controller ID\) *//p'); do
printf '\nrackflow: card %s\n' "$i"; "$1" adapter -i "$i" >/dev/null
"$1" info -o pd || exit; "$1" info -o vd; printf '\nrackflow: end %s\n' "$i"; done; :"""
"""All cards, then disks and volumes of each between lines of ours: mnv_cli's disks do not say whose they are.
"""

QUERY: Final = "raid-mvcli"
LIST_TIMEOUT_S: Final = 120
LEVEL_WORDS: Final[Mapping[Level, str]] = {"raid0": "0", "raid1": "1"}
NAME_CHARACTERS: Final = 10


@dataclass(frozen=True, slots=True)
class MvcliFamily:
    """The family of both tools."""

    name: str = TOOL
    tools: tuple[str, ...] = ("mvcli", "mnv_cli")
    pci: tuple[PciRule, ...] = (PciRule(vendor="1b4b", devices=("9230", "2241")),)

    def queries(self, tool: str) -> tuple[Query, ...]:
        """One script that asks every card."""
        return (Query(QUERY, ("sh", "-c", LISTING_SCRIPT, "rf-mvcli", tool), LIST_TIMEOUT_S),)

    def controllers(self, answers: Mapping[str, Output]) -> tuple[Controller, ...]:
        """All cards. Raises Unparsable where one did not answer to the end."""
        cards, *sections = re.split(r"^rackflow: card ", answer_of(answers, QUERY), flags=re.MULTILINE)
        listing = parse(cards).value
        if listing.outcome is not None and not listing.outcome.ok:
            raise _unparsable(str(listing.outcome.message))
        found = {one.index: one for one in listing.controllers if one.index is not None}
        for section in sections:
            index, _, text = section.partition("\n")
            text, ended, _ = text.partition(f"rackflow: end {index}")
            if not ended or index not in found:
                raise _unparsable(f"the answer of card {index} is cut off")
            found[index] = _with_disks(found[index], text)
        if len(sections) < len(found):
            raise _unparsable(f"{len(found) - len(sections)} of {len(found)} cards did not answer")
        return tuple(found.values())

    def prepare(
        self,
        tool: str,  # noqa: ARG002 - the protocol's shape
        controller: Controller,  # noqa: ARG002
        drives: Sequence[Drive],  # noqa: ARG002
    ) -> tuple[Command, ...]:
        """Nothing: a volume of another card is a volume here, and is deleted as such."""
        return ()

    def create(self, tool: str, controller: Controller, wish: VolumeWish) -> tuple[Command, ...]:
        """One command for the volume; free disks are passed through as they are."""
        if wish.level == "jbod":
            return ()
        if wish.group is not None or wish.spares:
            raise _refused(f"volume {wish.name}: a boot card has neither spares nor shared disks")
        words = ["-r", LEVEL_WORDS[wish.level], "-d", ",".join(address_of(one) for one in wish.drives)]
        words += ["-n", wish.name[:NAME_CHARACTERS]] if wish.name else []
        words += ["-b", str(wish.strip_bytes >> 10)] if wish.strip_bytes is not None else []
        says = f"make {wish.level} {wish.name} of {drives_told(wish.drives)}"
        if tool == "mnv_cli":
            return _on_card(tool, controller, ("create", *words), says)
        return _on_card(tool, controller, ("create", "-o", "vd", *words, "--waiveconfirmation"), says)

    def delete_volume(self, tool: str, controller: Controller, volume: VirtualDrive) -> tuple[Command, ...]:
        """Delete by id; `-f`, which mnv_cli does not know, takes a volume with partitions too."""
        says = f"delete volume {id_of(volume)} ({volume.name or volume.level})"
        forced = () if tool == "mnv_cli" else ("-f",)
        words = ("delete", "-o", "vd", "-i", id_of(volume), *forced, "--waiveconfirmation")
        return _on_card(tool, controller, words, says)

    def free_drive(
        self,
        tool: str,  # noqa: ARG002 - the protocol's shape
        controller: Controller,  # noqa: ARG002
        drive: Drive,
    ) -> tuple[Command, ...]:
        """Nothing for a disk in no volume; there is no other that could be freed."""
        if drive.state in ("jbod", "unconfigured"):
            return ()
        raise _refused(f"drive {drives_told((drive,))} is {drive.state}: it can't be freed")

    def add_spare(
        self,
        tool: str,  # noqa: ARG002 - the protocol's shape
        controller: Controller,  # noqa: ARG002
        volume: VirtualDrive,  # noqa: ARG002
        drive: Drive,
    ) -> tuple[Command, ...]:
        """Raises Refused: a boot card has no spares."""
        raise _refused(f"drive {drives_told((drive,))}: a boot card has no spares")

    def boot_from(
        self,
        tool: str,  # noqa: ARG002 - the protocol's shape
        controller: Controller,  # noqa: ARG002
        volume: VirtualDrive,  # noqa: ARG002
    ) -> tuple[Command, ...]:
        """Nothing: firmware sees the card's volumes as disks."""
        return ()


MVCLI: Final = MvcliFamily()


def _with_disks(card: Controller, text: str) -> Controller:
    """A card with the disks and volumes that the text between its lines tells of."""
    listing = parse(text).value if text.strip() else None
    if listing is not None and listing.outcome is not None and not listing.outcome.ok:
        raise _unparsable(str(listing.outcome.message))
    parts = listing.controllers if listing is not None else ()
    volumes = tuple(volume for part in parts for volume in part.volumes)
    owners = {member: volume.id for volume in volumes for member in volume.members}
    drives = (_disk(drive, owners.get(drive.address or "")) for part in parts for drive in part.drives)
    conditions = tuple(condition for part in parts for condition in part.conditions)
    return replace(
        merged(card, Controller(card.index, jbod=True)),
        drives=tuple(drives),
        volumes=volumes,
        conditions=(*card.conditions, *conditions),
    )


def _disk(drive: Drive, volume: str | None) -> Drive:
    """A disk in no volume is a disk of the system; one that a volume names is online."""
    if drive.state == "unconfigured" and volume is None:
        return replace(drive, state="jbod")
    state = "online" if drive.state in (None, "unconfigured") else drive.state
    return replace(drive, volume=volume or drive.volume, state=state)


def _on_card(tool: str, controller: Controller, words: Sequence[str], says: str) -> tuple[Command, ...]:
    """A command on one card, chosen right before: commands go to the card that was chosen last."""
    index = index_of(controller)
    chosen = change(tool, "adapter", "-i", index, says=f"turn to card {index}", timeout_s=60)
    return (chosen, change(tool, *words, says=says))


def _refused(told: str) -> Refused:
    return Refused(told, reason="step-failed", hint="a boot card mirrors its two disks, and no more")


def _unparsable(told: str) -> Unparsable:
    return Unparsable(
        f"{TOOL} did not list its cards: {told}",
        reason="unparsable",
        hint="`mvcli info -o hba` and `mvcli info -o pd` in the boot OS show what it says",
    )
