#!/usr/bin/python3 -I
"""rf-tpm2: have this machine's TPM 2.0 open a LUKS2 header, and prove that it does (docs/disks.md).

    rf-tpm2 enrol DEVICE < KEY
    rf-tpm2 probe

enrol  adds a key slot that this machine's TPM opens and no other one, bound to no PCR. The header is read
       first: where the TPM opens a slot of this kind already, nothing is written. A slot of an earlier TPM
       goes. KEY, which opens the header now, stays what opens it without the TPM; it is read from standard
       input and goes to the tools in memory. Slots with a PIN, with PCRs or of another kind are somebody's,
       and left alone.
probe  does the same with a header in memory that is gone afterwards, before anything is erased for one.

Only the second reading says that it is done: the slot is opened by the TPM.

What is killed in between leaves at most a slot that nothing names. So the slots that stand are noted in the
header first, as a token; while the note is there, a slot that it does not list, that no token names and that
was made as systemd-cryptenroll makes them is what was left, and goes.

Exit codes: 0 the TPM opens it; 64 usage; 65 refused, nothing was changed; 66 the TPM did not take it.
"""
# ruff: noqa: PTH110 - see rf_records

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

EXIT_USAGE, EXIT_REFUSED, EXIT_TPM = 64, 65, 66
TPM = "/dev/tpmrm0"
"""The kernel's resource manager, which it has for a TPM 2.0 only."""
KIND, NOTE = "systemd-tpm2", "rackflow-tpm2"
UNBOUND = "0" * 64
"""The policy of a slot that asks for nothing but its TPM (sha256 of no PCR, no PIN, no signed policy)."""
QUICK_KDF = ("pbkdf2", "sha512", 1000)
"""How systemd-cryptenroll keeps its random keys (cryptsetup_set_minimal_pbkdf); nobody's passphrase."""
PROBE_BYTES = 4 << 20
TOOL_S = 120

Runs = Callable[[tuple[str, ...], "bytes | None"], "tuple[int, str]"]
"""Runs a tool with data on its standard input: its status, and what it said."""


class EnrolError(Exception):
    """Why a TPM opens nothing; carries the exit code."""

    def __init__(self, code: int, told: str) -> None:
        super().__init__(told)
        self.code = code


class Header(NamedTuple):
    """What a LUKS2 header says of its slots: slot -> how its key is derived, token -> its JSON."""

    slots: dict[str, tuple[Any, ...]]
    tokens: dict[str, dict[str, Any]]

    @property
    def ours(self) -> list[str]:
        """Tokens of slots that some TPM opens, whatever the PCRs say."""
        return [
            number
            for number, token in self.tokens.items()
            if token.get("type") == KIND
            and token.get("tpm2-policy-hash") == UNBOUND
            and not token.get("tpm2-pin")
            and not token.get("tpm2-pcrs")
        ]

    @property
    def note(self) -> str | None:
        """The token that an enrolling under way has left."""
        return next((number for number, token in self.tokens.items() if token.get("type") == NOTE), None)

    @property
    def left(self) -> list[str]:
        """Slots that an enrolling made and was killed over before their token was written."""
        if self.note is None:
            return []
        named = {slot for token in self.tokens.values() for slot in token.get("keyslots", ())}
        known = named | set(self.tokens[self.note].get("standing", ()))
        return [slot for slot, kdf in self.slots.items() if slot not in known and kdf == QUICK_KDF]


def parse(text: str) -> Header:
    """Take what `cryptsetup luksDump --dump-json-metadata` prints."""
    body = json.loads(text)
    kdfs = {slot: one.get("kdf", {}) for slot, one in body["keyslots"].items()}
    return Header(
        {slot: (kdf.get("type"), kdf.get("hash"), kdf.get("iterations")) for slot, kdf in kdfs.items()},
        dict(body["tokens"]),
    )


def run(argv: tuple[str, ...], data: bytes | None = None) -> tuple[int, str]:
    """Run a tool that may ask nobody anything."""
    try:
        done = subprocess.run(
            argv,
            input=data or b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=TOOL_S,
            close_fds=False,  # what is inherited are the memory files made for it
        )
    except FileNotFoundError:
        raise EnrolError(EXIT_REFUSED, f"this boot OS has no {argv[0]}: rackflow bootos build") from None
    except subprocess.TimeoutExpired:
        return 124, f"{argv[0]} did not end within {TOOL_S} s"
    return done.returncode, done.stdout.decode("utf-8", "replace").strip()


class Enrolling:
    """One header on its way to being opened by the TPM."""

    def __init__(self, device: str, key: bytes, runs: Runs = run) -> None:
        self.device, self.key, self.runs = device, key, runs
        self.done: list[str] = []

    def enrol(self) -> None:
        """Observe, add what is missing, observe again. Raises EnrolError."""
        header = self._read()
        opened = [token for token in header.ours if self._opens(token)]
        if opened and header.note is None and len(header.ours) == 1:
            return
        self._try_key()
        self._clear(header, set(header.ours) - set(opened[:1]))
        if not opened:
            self._add()
        self._drop_note()
        header = self._read()
        if header.note is not None or header.left or not any(self._opens(token) for token in header.ours):
            raise EnrolError(EXIT_TPM, f"the TPM took a key for {self.device} and does not give it back")

    def _clear(self, header: Header, tokens: set[str]) -> None:
        """Take away what was left, and the slots of earlier TPMs; a slot before the token that names it."""
        for slot in header.left:
            self._must("luksKillSlot", "--batch-mode", self.device, slot)
            self.done.append(f"slot {slot}, left by an earlier start, is gone")
        for token in sorted(tokens, key=int):
            for slot in header.tokens[token].get("keyslots", ()):
                self._must("luksKillSlot", "--batch-mode", self.device, slot)
            self._must("token", "remove", "--token-id", token)
            self.done.append(f"token {token}, of another TPM, is gone")

    def _add(self) -> None:
        """Note what stands, then have the slot and its token made; what fails leaves no note."""
        header = self._read()
        if header.note is None:
            note = json.dumps({"type": NOTE, "keyslots": [], "standing": sorted(header.slots, key=int)})
            self._must("token", "import", "--json-file", "-", data=note.encode())
        fd = os.memfd_create("key")
        try:
            os.fchmod(fd, 0o600)  # a memory file is made open to all, which systemd-cryptenroll warns of
            os.set_inheritable(fd, True)
            os.write(fd, self.key)
            status, said = self.runs(
                (
                    "systemd-cryptenroll",
                    "--tpm2-device=auto",
                    "--tpm2-pcrs=",
                    f"--unlock-key-file=/proc/self/fd/{fd}",
                    self.device,
                ),
                None,
            )
        finally:
            os.close(fd)
        if status:
            self._clear(self._read(), set())
            self._drop_note()
            raise EnrolError(EXIT_TPM, f"systemd-cryptenroll ended with {status}: {said[-400:]}")
        self.done.append("a slot of this machine's TPM was added")

    def _drop_note(self) -> None:
        note = self._read().note
        if note is not None:
            self._must("token", "remove", "--token-id", note)

    def _try_key(self) -> None:
        argv = ("cryptsetup", "open", "--test-passphrase", "--key-file", "-", self.device)
        if self.runs(argv, self.key)[0]:
            raise EnrolError(EXIT_REFUSED, f"{self.device} does not open with the key given")

    def _read(self) -> Header:
        status, said = self.runs(("cryptsetup", "luksDump", "--dump-json-metadata", self.device), None)
        if status:
            raise EnrolError(EXIT_REFUSED, f"{self.device} holds no LUKS2 header: {said[-200:]}")
        return parse(said)

    def _opens(self, token: str) -> bool:
        argv = ("cryptsetup", "open", "--test-passphrase", "--token-only", "--token-id", token, self.device)
        return self.runs(argv, None)[0] == 0

    def _must(self, *words: str, data: bytes | None = None) -> None:
        """Run cryptsetup on the device, which the words name where it is not the last of them."""
        argv = ("cryptsetup", *words) if self.device in words else ("cryptsetup", *words, self.device)
        status, said = self.runs(argv, data)
        if status:
            raise EnrolError(EXIT_TPM, f"{' '.join(argv[:3])} ended with {status}: {said[-200:]}")


def probe(runs: Runs = run) -> list[str]:
    """Have the TPM keep and give back a key that is of no use to anybody. Raises EnrolError."""
    fd = os.memfd_create("header")
    try:
        os.ftruncate(fd, PROBE_BYTES)
        os.set_inheritable(fd, True)
        device, key = f"/proc/self/fd/{fd}", secrets.token_bytes(32)
        small = ("--luks2-metadata-size", "16k", "--luks2-keyslots-size", "1m")
        quick = ("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000")
        make = ("cryptsetup", "luksFormat", "--type", "luks2", "--batch-mode", *small, *quick)
        status, said = runs((*make, "--key-file", "-", device), key)
        if status:
            raise EnrolError(EXIT_REFUSED, f"no header could be made in memory: {said[-200:]}")
        enrolling = Enrolling(device, key, runs)
        enrolling.enrol()
    finally:
        os.close(fd)
    return enrolling.done


def carry_out(arguments: list[str], tpm: str) -> list[str]:
    """Enrol or probe; what was done. Raises EnrolError."""
    if arguments[:1] not in (["enrol"], ["probe"]) or len(arguments) != (arguments[0] == "enrol") + 1:
        raise EnrolError(EXIT_USAGE, "usage: rf-tpm2 enrol DEVICE < KEY, or rf-tpm2 probe")
    if not os.path.exists(tpm):
        raise EnrolError(EXIT_REFUSED, f"this machine shows no TPM 2.0 ({tpm} is missing)")
    if arguments[0] == "probe":
        return probe()
    enrolling = Enrolling(arguments[1], sys.stdin.buffer.read())
    enrolling.enrol()
    return enrolling.done


def main(arguments: list[str], tpm: str = TPM) -> int:
    """Say what was done as JSON on stdout, or why not on stderr."""
    try:
        done = carry_out(arguments, tpm)
    except EnrolError as error:
        os.write(2, (json.dumps({"error": str(error), "exit": error.code}) + "\n").encode())
        return error.code
    os.write(1, (json.dumps({"done": done}) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
