"""rf-tpm2 with real cryptsetup and systemd-cryptenroll, on a real LUKS2 header and a TPM in software."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootos import one_file, rf_tpm2
from tests.bootos.soft_tpm import SoftTpm, missing

KEY = b"secret\nwith a second line"
FORMAT = (
    *("cryptsetup", "luksFormat", "--type", "luks2", "--batch-mode"),
    *("--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "4000", "--key-file", "-"),
)
DIE = """#!/bin/sh
# Counts its calls; ends its caller after the one that was chosen, or in it.
tool=$(PATH=$REAL command -v "${0##*/}")
n=$(($(cat "$COUNT") + 1)); echo $n > "$COUNT"
PATH=$REAL "$tool" "$@"; status=$?
if [ $n = "$AT" ]; then
    # systemd-cryptenroll writes its slot, then its token: half of it is a slot that nothing names.
    for device; do :; done
    [ "${0##*/}" = systemd-cryptenroll ] && [ "$HOW" = in ] &&
        PATH=$REAL cryptsetup token remove --token-id "$HALF" "$device"
    kill -9 $PPID
fi
exit $status
"""


class Disk:
    """A file with a LUKS2 header that a key opens."""

    def __init__(self, folder: Path, tpm: SoftTpm) -> None:
        self.path, self.tpm = folder / "disk", tpm
        self.program = folder / "rf-tpm2"
        self.program.write_text(one_file.program("rf-tpm2"))
        with self.path.open("wb") as file:
            file.truncate(20 << 20)
        self.tool(*FORMAT, data=KEY)

    def tool(self, *argv: str, data: bytes = b"") -> str:
        said = self.tpm.run(*argv, str(self.path), data=data)
        assert said.returncode == 0, said.stderr
        return said.stdout.decode()

    def enrol(self, key: bytes = KEY, **more: str) -> "subprocess.CompletedProcess[bytes]":
        return self.tpm.run(sys.executable, str(self.program), "enrol", str(self.path), data=key, more=more)

    def enrolled(self) -> list[str]:
        said = self.enrol()
        assert said.returncode == 0, said.stderr
        return json.loads(said.stdout)["done"]

    @property
    def header(self) -> rf_tpm2.Header:
        return rf_tpm2.parse(self.tool("cryptsetup", "luksDump", "--dump-json-metadata"))

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()

    def opens(self, *by: str, data: bytes = b"") -> bool:
        argv = ("cryptsetup", "open", "--test-passphrase", *by, str(self.path))
        return self.tpm.run(*argv, data=data).returncode == 0

    def holds(self) -> None:
        """The key's slot and one of the TPM, which both open; nothing else is in the header."""
        header = self.header
        assert list(header.slots) == ["0", "1"]
        assert [token["keyslots"] for token in header.tokens.values()] == [["1"]]
        assert header.ours == list(header.tokens)
        assert self.opens("--key-file", "-", data=KEY)
        assert self.opens("--token-only", "--token-id", header.ours[0])


@pytest.fixture
def make_tpm(tmp_path: Path) -> Iterator[Callable[[str], SoftTpm]]:
    """TPMs by name, each with its own seed."""
    why = missing()
    if why is not None:
        pytest.skip(why)
    made: list[SoftTpm] = []

    def make(name: str) -> SoftTpm:
        made.append(SoftTpm(tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def disk(make_tpm: Callable[[str], SoftTpm], tmp_path: Path) -> Disk:
    return Disk(tmp_path, make_tpm("own"))


def test_the_tpm_opens_what_it_was_enrolled_in_and_a_second_start_writes_nothing(disk: Disk) -> None:
    assert disk.enrolled() == ["a slot of this machine's TPM was added"]
    disk.holds()
    before = disk.digest
    assert disk.enrolled() == []
    assert disk.digest == before


def test_the_slot_of_an_earlier_tpm_gives_way(
    disk: Disk, make_tpm: Callable[[str], SoftTpm], tmp_path: Path
) -> None:
    """systemd-cryptenroll takes the same policy for the same slot: it ends with 0 and enrols nothing."""
    disk.enrolled()
    disk.tpm = make_tpm("of another board")
    assert not disk.opens("--token-only", "--token-id", "1")
    before = disk.digest
    key = tmp_path / "key"
    key.write_bytes(KEY)
    disk.tool("systemd-cryptenroll", f"--unlock-key-file={key}", "--tpm2-device=auto", "--tpm2-pcrs=")
    assert disk.digest == before
    assert disk.enrolled() == ["token 1, of another TPM, is gone", "a slot of this machine's TPM was added"]
    disk.holds()


def test_the_two_commands_for_a_person_do_the_same(
    disk: Disk, make_tpm: Callable[[str], SoftTpm], tmp_path: Path
) -> None:
    """As docs/disks.md gives them; a person is asked for the key."""
    page = (Path(__file__).parents[2] / "docs/disks.md").read_text(encoding="utf-8")
    told = [line.split()[:-1] for line in page.splitlines() if line.startswith("      systemd-cryptenroll")]
    key = tmp_path / "key"
    key.write_bytes(KEY)
    disk.enrolled()
    disk.tpm = make_tpm("of another board")
    wipe, enrol = told
    disk.tool(*wipe)
    disk.tool(*enrol, f"--unlock-key-file={key}")
    disk.holds()
    before = disk.digest
    assert disk.enrolled() == []
    assert disk.digest == before


def test_what_somebody_else_put_into_the_header_is_left_alone(disk: Disk, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(KEY)
    enrol = ("systemd-cryptenroll", f"--unlock-key-file={key}")
    disk.tool(*enrol, "--tpm2-device=auto", "--tpm2-pcrs=7")
    disk.tool(*enrol, "--recovery-key")
    theirs = {number: token["keyslots"] for number, token in disk.header.tokens.items()}
    assert disk.header.ours == []
    disk.enrolled()
    header = disk.header
    assert {n: token["keyslots"] for n, token in header.tokens.items() if n in theirs} == theirs
    assert (len(header.slots), len(header.ours), header.note) == (4, 1, None)


def test_a_key_that_opens_nothing_changes_nothing(disk: Disk) -> None:
    before = disk.digest
    said = disk.enrol(key=b"another")
    assert (said.returncode, b"does not open with the key given" in said.stderr) == (65, True)
    assert disk.digest == before


def test_without_a_tpm_nothing_is_changed(disk: Disk) -> None:
    before = disk.digest
    argv = (sys.executable, str(disk.program))
    for words in (("enrol", str(disk.path)), ("probe",)):
        said = disk.tpm.run(*argv, *words, data=KEY, shown=False)
        assert (said.returncode, b"/dev/tpmrm0 is missing" in said.stderr) == (65, True)
    assert disk.digest == before


def test_a_tpm_that_refuses_leaves_no_note(disk: Disk, tmp_path: Path) -> None:
    """A TPM that takes nothing: somebody owns it, or it is locked out."""
    fake = tmp_path / "fake"
    fake.mkdir()
    (fake / "systemd-cryptenroll").write_text("#!/bin/sh\necho TPM lockout; exit 1\n")
    (fake / "systemd-cryptenroll").chmod(0o755)
    said = disk.enrol(PATH=f"{fake}:{SoftTpm.environment()['PATH']}")
    assert (said.returncode, b"ended with 1: TPM lockout" in said.stderr) == (66, True)
    assert (list(disk.header.slots), disk.header.tokens) == (["0"], {})


def test_a_probe_needs_no_disk(disk: Disk) -> None:
    said = disk.tpm.run(sys.executable, str(disk.program), "probe")
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["done"] == ["a slot of this machine's TPM was added"]


@pytest.mark.timeout(600)
def test_killed_at_every_tool_it_goes_on_to_the_same_end(disk: Disk, tmp_path: Path) -> None:
    """Over the header of an earlier TPM, the longest way; each state that is left is gone on with."""
    disk.enrolled()
    old = disk.path.read_bytes()
    real, fake, count = SoftTpm.environment()["PATH"], tmp_path / "fake", tmp_path / "count"
    fake.mkdir()
    for tool in ("cryptsetup", "systemd-cryptenroll"):
        (fake / tool).write_text(DIE)
        (fake / tool).chmod(0o755)
    other = SoftTpm(tmp_path / "other")
    told = {"PATH": f"{fake}:{real}", "REAL": real, "COUNT": str(count), "HALF": "1"}
    try:
        disk.tpm = other
        count.write_text("0")
        assert disk.enrol(**told, AT="0", HOW="never").returncode == 0
        calls = int(count.read_text())
        assert calls > 10
        left: list[rf_tpm2.Header] = []
        for at in range(1, calls + 1):
            disk.path.write_bytes(old)
            count.write_text("0")
            assert disk.enrol(**told, AT=str(at), HOW="in").returncode == -9, at
            header = without_secrets(disk.header)
            if header not in left:
                left.append(header)
                disk.enrolled()
                disk.holds()
        # Slot gone, token gone, note, slot, note gone.
        assert len(left) == 6
        assert [one.left for one in left if one.left] == [["1"]]
    finally:
        other.close()


def without_secrets(header: rf_tpm2.Header) -> rf_tpm2.Header:
    """A header without what the TPM drew by lot."""
    tokens = {
        number: {key: value for key, value in token.items() if key != "tpm2-blob"}
        for number, token in header.tokens.items()
    }
    return header._replace(tokens=tokens)


SLOT = {"kdf": {"type": "pbkdf2", "hash": "sha512", "iterations": 1000}}
PHRASE = {"kdf": {"type": "argon2id", "hash": None, "iterations": None}}
OURS = {
    "type": "systemd-tpm2",
    "keyslots": ["1"],
    "tpm2-policy-hash": "0" * 64,
    "tpm2-pcrs": [],
    "tpm2-pin": False,
}
NOTE = {"type": "rackflow-tpm2", "keyslots": [], "standing": ["0"]}


@pytest.mark.parametrize(
    ("slots", "tokens", "ours", "left"),
    [
        ({"0": PHRASE, "1": SLOT}, {"0": OURS}, ["0"], []),
        ({"0": PHRASE, "1": SLOT}, {"0": OURS | {"tpm2-pin": True}}, [], []),
        ({"0": PHRASE, "1": SLOT}, {"0": OURS | {"tpm2-pcrs": [7]}}, [], []),
        ({"0": PHRASE, "1": SLOT}, {"0": OURS | {"tpm2-policy-hash": "ab" * 32}}, [], []),
        ({"0": PHRASE, "1": SLOT}, {}, [], []),
        ({"0": PHRASE, "1": SLOT}, {"3": NOTE}, [], ["1"]),
        ({"0": PHRASE, "1": SLOT, "2": SLOT}, {"0": OURS, "3": NOTE}, ["0"], ["2"]),
        ({"0": PHRASE, "1": PHRASE}, {"3": NOTE}, [], []),
    ],
    ids=[
        "ours",
        "with a PIN",
        "with PCRs",
        "another policy",
        "unnamed",
        "left",
        "beside ours",
        "a passphrase",
    ],
)
def test_only_what_an_enrolling_made_is_taken_for_its_own(slots, tokens, ours, left) -> None:
    header = rf_tpm2.parse(json.dumps({"keyslots": slots, "tokens": tokens}))
    assert (header.ours, header.left) == (ours, left)
