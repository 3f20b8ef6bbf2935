"""Encrypted file systems: made over LUKS2, and unlocked by the installed system."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from metal.drivers import filesystems
from metal.drivers.filesystems import FilesystemWish
from metal.drivers.guest import crypttab, managed_files
from metal.drivers.guest.crypttab import CRYPTTAB, Unlock
from metal.drivers.guest.document import commands, joined
from metal.drivers.guest.facts import CRYPT_TOOLS, TSS_LIBRARIES, places_of
from metal.drivers.guest.managed_files import FileWish
from metal.drivers.storage import luks
from metal.drivers.storage.luks import LuksWish
from metal.drivers.storage.opened import LIST, close_left, luks_id
from metal.drivers.storage.places import Places
from metal.drivers.storage.stack import Layer
from metal.engine.work import Handler, Work
from metal.errors import Refused
from metal.planning.mounting import ENCRYPTED, HEADER_MARK, marked
from metal.planning.plan import StepKind


def layers(work: Work, name: str, *, fresh: bool, seal: bool = True) -> tuple[Layer, ...]:
    """Give the layer of a step's encryption, made anew or only opened; none where it asks for none.

    `seal` has the TPM open it too, where the step asks for that.
    Raises Refused (secret-missing) when the key is not the version that was planned.
    """
    asked = work.args.get("luks")
    if asked is None:
        return ()
    secret = work.secrets().get(str(asked["secret"]))
    if secret is None:
        raise Refused(
            f"{name} is encrypted with {asked['secret']}, which is not the current version",
            host=work.host,
            reason="secret-missing",
            hint=f"the secret was changed after the plan was made: rackflow apply {work.host} plans again",
        )
    uuid = work.made(f"luks:{name}") if fresh else None
    tpm2 = seal and bool(asked.get("tpm2"))
    return (LuksWish(str(asked["unlocked"]), secret.value.encode(), uuid, tpm2=tpm2).layer,)


def differences(work: Work, wish: FilesystemWish) -> tuple[str, ...]:
    """Say whether the header is this job's, and says that what is in it is whole."""
    part = work.block().on(work.target()).partition(wish.number)
    uuid = work.made(f"luks:{wish.name}")
    if part is None:
        return (f"partition {wish.number} ({wish.name}) is missing",)
    if part.filesystem != ENCRYPTED or not filesystems.same_uuid(part.fs_uuid, uuid):
        return (f"{wish.name} holds {part.filesystem or 'nothing'} {part.fs_uuid or ''}, wanted LUKS {uuid}",)
    if marked(part.label, HEADER_MARK) != wish.fs_uuid:
        return (f"{wish.name} is encrypted, and its file system was not made whole",)
    return ()


def make(work: Work, wish: FilesystemWish) -> None:
    """Make header and file system; the mark comes last."""
    work.unmount()
    close(work, (luks_id(work.made(f"luks:{wish.name}")),))
    target = work.target()
    target = replace(target, size_bytes=work.block().on(target).size_bytes)
    says = f"make encrypted {wish.filesystem} {wish.label} on {target} partition {wish.number}"
    over = layers(work, wish.name, fresh=True)
    made = filesystems.stack(says, wish, over, (luks.mark(wish.fs_uuid),))
    work.send((made.command(Places.of(((target, wish.number),))),))


def close(work: Work, ids: Iterable[str]) -> None:
    """Close what an earlier start of the step was killed over: while it is open its disk counts as used."""
    if work.interrupted:
        work.send(tuple(close_left(work.shell().read(LIST).stdout, ids)))


@dataclass(frozen=True, slots=True)
class Crypttab:
    """What the installed system unlocks at each start, and the keys for it."""

    blind: bool = False

    def differences(self, work: Work) -> tuple[str, ...]:
        """Compare lines and keys. Raises Refused where the image could unlock nothing."""
        reading, unlocks = work.reading(), _unlocks(work)
        if not any(map(reading.present, CRYPT_TOOLS)):
            raise Refused(
                f"the image has no systemd-cryptsetup ({' or '.join(CRYPT_TOOLS)}): it would unlock nothing",
                host=work.host,
                reason="image-unfit",
                hint="put cryptsetup into the image, or leave luks out of the spec",
            )
        self._by_tpm(work, unlocks)
        keys = managed_files.differences(work.system(), _keys(unlocks))
        return (*crypttab.differences(reading.text(CRYPTTAB), unlocks), *keys)

    @staticmethod
    def _by_tpm(work: Work, unlocks: Iterable[Unlock]) -> None:
        """Raise Refused where the image could ask no TPM."""
        reading = work.reading()
        named = [one.name for one in unlocks if one.key_path is None]
        lacking = [name for name in TSS_LIBRARIES if not any(map(reading.present, places_of(name)))]
        if named and lacking:
            raise Refused(
                f"the image has no {', '.join(lacking)}: it could not ask its TPM for {', '.join(named)}",
                host=work.host,
                reason="image-unfit",
                hint="put the TPM2 libraries (tpm2-tss) into the image, or set luks.tpm2: off",
            )

    def act(self, work: Work) -> None:
        """Write both."""
        unlocks, root = _unlocks(work), work.root()
        keys = managed_files.document(work.system(), _keys(unlocks), work.secrets())
        lines = crypttab.document(work.reading().text(CRYPTTAB), unlocks)
        work.send(commands(joined(lines.says, (keys, lines)), root))
        work.reading(fresh=True)


def _keys(unlocks: Iterable[Unlock]) -> tuple[FileWish, ...]:
    return tuple(key for one in unlocks for key in one.keys)


def _unlocks(work: Work) -> tuple[Unlock, ...]:
    return tuple(Unlock.of(one, _device(work, one)) for one in work.args["unlocks"])


def _device(work: Work, entry: Mapping[str, Any]) -> str:
    uuid = entry.get("luks_uuid") or work.made(f"luks:{entry['name']}")
    return str(entry.get("device") or f"UUID={uuid}")


HANDLERS: Final[Mapping[StepKind, Handler]] = {"crypttab": Crypttab()}
