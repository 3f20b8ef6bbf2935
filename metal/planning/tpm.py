"""Whether the machine's TPM opens what a spec encrypts, and what a plan says where it can't."""

from collections.abc import Iterable, Iterator

from metal.planning.disks import Refusal
from metal.planning.mounting import formatted
from specs.facts import Tpm
from specs.model import Formatted, Host


def sealed(part: Formatted, tpm: Tpm | None) -> bool:
    """Whether the TPM opens it, and no copy of its key lies on the root."""
    return part.luks is not None and part.luks.tpm2 != "off" and tpm == "2.0"


def tpm_refusal(spec: Host, tpm: Tpm | None) -> Refusal | None:
    """Refuse what asks for a TPM 2.0 on a machine without one, and to guess where nobody has looked."""
    asking = [part for part in formatted(spec) if part.luks and part.luks.tpm2 != "off"]
    if tpm is None and asking:
        told = f"{names_of(asking)}: whether the machine has a TPM 2.0 was not read yet"
        return Refusal("tpm2-missing", told)
    required = [part for part in asking if part.luks and part.luks.tpm2 == "require"]
    if tpm in ("2.0", None) or not required:
        return None
    return Refusal("tpm2-missing", f"{names_of(required)}: tpm2 is required, the machine has {_seen(tpm)}")


def tpm_notes(spec: Host, tpm: Tpm | None) -> Iterator[str]:
    """Say where the TPM was preferred and a copy of the key is what unlocks."""
    left = [part for part in formatted(spec) if part.luks and part.luks.tpm2 == "prefer"]
    if left and tpm in ("none", "1.2"):
        yield f"{names_of(left)}: unlocked by a copy of the key on the root, as the machine has {_seen(tpm)}"


def names_of(parts: Iterable[Formatted]) -> str:
    """The names, for a message."""
    return ", ".join(part.name for part in parts)


def _seen(tpm: Tpm | None) -> str:
    return "none" if tpm in ("none", None) else f"a TPM {tpm}"
