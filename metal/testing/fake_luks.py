"""LUKS2 headers of a machine in memory: what makes and opens them, and the TPM's slot in them."""

from typing import Any

from metal.drivers.storage.luks import RF_TPM2
from metal.protocols import Output

Place = dict[str, Any]
HALF = "half made"
"""What a kill leaves of a slot."""


def run_under(place: Place, layer: Place, tpm: str | None, *, tear: bool) -> Output | None:
    """Have a layer's effect on the header in a place: made anew, given the TPM's slot, opened by its own key.

    What is torn ends in its last command, as everything before that has ended.
    """
    for number, argv in enumerate(layer["before"], 1):
        if argv[0] == RF_TPM2:
            if tpm is None or place.get("key") != layer["key"]:
                return Output(tuple(argv), 65, "", "this machine shows no TPM 2.0, or another key")
            place["tpm"] = HALF if tear and number == len(layer["before"]) else tpm
        else:
            uuid, label = (argv[argv.index(word) + 1] for word in ("--uuid", "--label"))
            place |= {"fstype": "crypto_LUKS", "uuid": uuid, "label": label}
            place |= {"key": layer["key"], "tpm": None}
    if place.get("fstype") != "crypto_LUKS" or place.get("key") != layer["key"]:
        return Output(("cryptsetup",), 2, "", "No key available with this passphrase.")
    return None
