"""What must hold of encryption before anything is erased: the TPM works, what stays opens with its key."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from metal.drivers.storage import luks
from metal.drivers.storage.opened import luks_id
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import Stack
from metal.engine import luks_steps, lvm_steps
from metal.engine.work import Handler, Work
from metal.errors import Refused
from metal.planning.plan import StepKind


@dataclass(frozen=True, slots=True)
class Tpm2:
    """Have the TPM keep a key and give it back: one that somebody owns or that is locked out does not."""

    blind: bool = True

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing: rf-tpm2 has read what the TPM gave back."""
        return ()

    def act(self, work: Work) -> None:
        """Try it. Raises Refused (tpm2-missing) where the TPM does not."""
        try:
            work.send((luks.probe(),))
        except Refused as error:
            raise Refused(
                error.message,
                host=work.host,
                reason="tpm2-missing",
                hint="clear the TPM in the firmware's setup, or set luks.tpm2: off",
            ) from error


@dataclass(frozen=True, slots=True)
class LuksOpen:
    """Open what is encrypted and stays, with its key, before anything goes; the TPM gets its slot then."""

    blind: bool = True

    def differences(self, work: Work) -> tuple[str, ...]:  # noqa: ARG002
        """Read nothing: that it was opened is what is asked for, and rf-tpm2 reads its slot itself."""
        return ()

    def act(self, work: Work) -> None:
        """Open and close it."""
        name = str(work.args["name"])
        says = f"open {name} with its key"
        over = luks_steps.layers(work, name, fresh=False)
        if "group" in work.args:
            lvm_steps.open_in_volume(work, name, says, over)
            return
        work.unmount()
        target, number = work.target(), int(work.args["number"])
        device = work.block().on(target)
        target, part = replace(target, size_bytes=device.size_bytes), device.partition(number)
        if part is not None and part.fs_uuid:
            luks_steps.close(work, (luks_id(part.fs_uuid),))
        opened = Stack(says, layers=over)
        work.send((opened.command(Places.of(((target, number),))),))


HANDLERS: Final[Mapping[StepKind, Handler]] = {"tpm2": Tpm2(), "luks-open": LuksOpen()}
