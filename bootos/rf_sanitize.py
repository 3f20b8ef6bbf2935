"""rf-wipe's drives: what an NVMe or ATA drive can do to erase itself, and having it done.

Not a program: a part of the one file that is installed as rf-wipe (`bootos.one_file`).

NVMe: nvme-cli's raw output is decoded here, as its text differs between versions. Offsets: NVM Express base
specification 1.4, figures 247 (identify controller), 249 (namespace) and 202 (sanitize status).
ATA: `hdparm -I` and `--sanitize-status` are text only. An ATA password is no secret: it lives from the start
of an erasing to its end, is the word `rackflow`, and so may stand in argv; a drive that lost power in between
is locked by it, and unlocked with it here.
"""
# ruff: noqa: PTH112, PTH118, PTH119, PTH208 - see rf_erase

import os
import re
import subprocess
import time
from collections.abc import Callable

from bootos.rf_target import WriteError

EXIT_FAILED = 74
ASK_S, START_S = 20.0, 120.0
MOST_S = 24 * 3600.0
LOOK_S = 2.0
OUTPUT_BYTES = 64 * 1024
PASSWORD = "rackflow"  # noqa: S105 - see above: not a secret

NVME_SANITIZE = ((0, "nvme-crypto", "4"), (1, "nvme-block", "2"), (2, "nvme-overwrite", "3"))
"""Bit of SANICAP, our word, number of the action (figure 370)."""
NVME_IN_PROGRESS, NVME_FAILED = 2, 3
ATA_SANITIZE = (
    ("CRYPTO_SCRAMBLE_EXT command", "ata-crypto", "--sanitize-crypto-scramble"),
    ("BLOCK_ERASE_EXT command", "ata-block", "--sanitize-block-erase"),
    ("OVERWRITE_EXT command", "ata-overwrite", "--sanitize-overwrite"),
)
ATA_SECURITY = (
    ("ata-security-enhanced", "--security-erase-enhanced"),
    ("ata-security", "--security-erase"),
)
HDPARM = ("hdparm", "--yes-i-know-what-i-am-doing")


class Drive:
    """One drive by the number of its block device.

    `opens` tries our own word on a locked one. A drive counts wrong passwords and shuts itself off after a
    few, so that is for the moment of erasing, and never for a reading.
    """

    def __init__(self, sysfs: str, number: str, *, opens: bool = False) -> None:
        self._opens = opens
        self.sysfs = sysfs
        self._base = os.path.join(sysfs, "dev/block", number)
        self.name = os.path.basename(os.path.realpath(self._base))
        self.path = f"/dev/{self.name}"
        self._text: str | None = None

    # --- what it can ------------------------------------------------------------------------------------

    def ways(self) -> list[str]:
        """Ways to erase itself, the best first; empty where it knows none, or something is in the way."""
        if self.problem() is not None:
            return []
        return self._nvme_ways() if self._is_nvme else self._ata_ways()

    def way(self) -> "str | None":
        """The best of them."""
        return next(iter(self.ways()), None)

    def problem(self) -> "str | None":
        """Why it may not or cannot erase itself now; None where nothing is in the way."""
        if self._is_nvme:
            others = self._siblings()
            return f"it would erase the drive's other namespaces too: {', '.join(others)}" if others else None
        security = self._security()
        if "locked" in security and "frozen" in security:
            return "it is locked by a password, and its security is frozen by the firmware: start it anew"
        if "locked" in security and not (self._opens and self._unlock()):
            return (
                "it is locked by a password: unlock it with its own (rackflow, after an erasing that was cut)"
            )
        if "frozen" in self._security() and not self._sanitizes():
            return (
                "its security is frozen by the firmware: cut its power for a moment, or set the firmware so"
            )
        return None

    def zeroes_after_discard(self) -> bool:
        """Whether it promises zeros where it discarded: DLFEAT bits 2:0 = 1, or ATA's word 69 bit 5."""
        if self._is_nvme:
            raw = _run(["nvme", "id-ns", self.path, "--raw-binary"], ASK_S)
            return raw is not None and len(raw) >= 64 and raw[33] & 7 == 1
        return (
            re.search(r"^\s*\*\s+Deterministic read ZEROs after TRIM", self._identify(), re.MULTILINE)
            is not None
        )

    @property
    def _is_nvme(self) -> bool:
        return self.name.startswith("nvme")

    def _siblings(self) -> list[str]:
        """Other namespaces of the drive: an NVMe drive erases itself as a whole."""
        folder = os.path.join(self._base, "device")
        names = os.listdir(folder) if os.path.isdir(folder) else []
        return sorted(one for one in names if re.fullmatch(r"nvme\d+n\d+", one) and one != self.name)

    def _nvme_ways(self) -> list[str]:
        raw = _run(["nvme", "id-ctrl", self.path, "--raw-binary"], ASK_S)
        if raw is None or len(raw) < 1024:
            return []
        can = int.from_bytes(raw[328:332], "little")
        found = [word for bit, word, _ in NVME_SANITIZE if can >> bit & 1]
        if int.from_bytes(raw[256:258], "little") >> 1 & 1:
            found += ["nvme-format-crypto"] if raw[524] >> 2 & 1 else []
            found.append("nvme-format")
        return found

    def _ata_ways(self) -> list[str]:
        found = self._sanitizes()
        security = self._security()
        if "supported" in security and "frozen" not in security:
            found += [way for way, _ in ATA_SECURITY if "enhanced" not in way or "enhanced" in security]
        return found

    def _sanitizes(self) -> list[str]:
        text = self._identify()
        if not _is_on(text, "SANITIZE feature set"):
            return []
        if re.search(r"State:\s+SD1", self._status()):
            return []  # frozen, by a feature of its own
        return [word for line, word, _ in ATA_SANITIZE if _is_on(text, line)]

    def _security(self) -> set[str]:
        """What holds of the security feature set: supported, enabled, locked, frozen, enhanced."""
        part = self._identify().partition("Security:")[2]
        found = set(re.findall(r"^\s+(supported|enabled|locked|frozen)\s*$", part, re.MULTILINE))
        return found | (
            {"enhanced"} if re.search(r"^\s+supported: enhanced erase", part, re.MULTILINE) else set()
        )

    def _identify(self) -> str:
        if self._text is None:
            raw = b"" if self._is_nvme else _run(["hdparm", "-I", self.path], ASK_S)
            self._text = (raw or b"").decode(errors="replace")
        return self._text

    def _unlock(self) -> bool:
        """Open a drive that an interrupted erasing left locked by our word; tried once."""
        self._opens = False
        _run([*HDPARM, "--user-master", "u", "--security-unlock", PASSWORD, self.path], START_S)
        self._text = None
        return "locked" not in self._security()

    # --- having it done ---------------------------------------------------------------------------------

    def is_erasing(self) -> bool:
        """Whether it is at it: a sanitize outlives the power and whoever asked for it."""
        if self._is_nvme:
            return self._nvme_status()[0] == NVME_IN_PROGRESS
        return bool(_is_on(self._identify(), "SANITIZE feature set")) and "SD2" in self._status()

    def erase(self, way: "str | None", *, going_on: bool, tell: Callable[[float], None]) -> None:
        """Begin, unless it is at it already, and wait for the end; a WriteError says how it failed."""
        if way is not None and way.startswith(("nvme-format", "ata-security")) and not going_on:
            self._at_once(way)
            return
        if not going_on:
            _do(self._begin(way or ""), START_S)
        deadline = time.monotonic() + MOST_S
        while time.monotonic() < deadline:
            fraction, failed = self._nvme_progress() if self._is_nvme else self._ata_progress()
            if failed:
                raise WriteError(EXIT_FAILED, f"{self.path} failed to sanitize itself: {failed}")
            if fraction is None:
                return
            tell(fraction)
            time.sleep(LOOK_S)
        raise WriteError(EXIT_FAILED, f"{self.path} is still at its sanitize after {MOST_S / 3600:.0f} h")

    def _begin(self, way: str) -> list[str]:
        if self._is_nvme:
            action = next(number for _, word, number in NVME_SANITIZE if word == way)
            more = ["--ovrpat=0", "--owpass=1"] if way == "nvme-overwrite" else []
            return ["nvme", "sanitize", self.path, f"--sanact={action}", *more]
        option = next(option for _, word, option in ATA_SANITIZE if word == way)
        return [*HDPARM, option, *(["hex:00000000"] if way == "ata-overwrite" else []), self.path]

    def _at_once(self, way: str) -> None:
        """Format NVM and ATA's security erase answer when they are done."""
        if way.startswith("nvme"):
            setting = "2" if way == "nvme-format-crypto" else "1"
            _do(["nvme", "format", self.path, f"--ses={setting}", "--force"], MOST_S)
            return
        option = dict(ATA_SECURITY)[way]
        if "enabled" not in self._security():
            _do([*HDPARM, "--user-master", "u", "--security-set-pass", PASSWORD, self.path], START_S)
        _do([*HDPARM, "--user-master", "u", option, PASSWORD, self.path], MOST_S)
        self._text = None
        if "enabled" in self._security():
            raise WriteError(EXIT_FAILED, f"{self.path} still has security on: its erase did not end")

    def _nvme_status(self) -> tuple[int, float]:
        raw = _run(["nvme", "sanitize-log", self.path, "--raw-binary"], ASK_S)
        if raw is None or len(raw) < 4:
            return 0, 0.0
        return raw[2] & 7, int.from_bytes(raw[:2], "little") / 65536

    def _nvme_progress(self) -> tuple["float | None", str]:
        status, fraction = self._nvme_status()
        failed = "its log says that the last sanitize failed" if status == NVME_FAILED else ""
        return (fraction if status == NVME_IN_PROGRESS else None), failed or ("" if status else "no status")

    def _status(self) -> str:
        return (_run(["hdparm", "--sanitize-status", self.path], ASK_S) or b"").decode(errors="replace")

    def _ata_progress(self) -> tuple["float | None", str]:
        text = self._status()
        found = re.search(r"Progress:\s+0x([0-9a-fA-F]{1,4})", text)
        if "SD2" in text:
            return (int(found[1], 16) / 65536 if found else 0.0), ""
        ended_well = "Completed Without Error" in text
        return None, "" if ended_well else " ".join(text.split())[-200:] or "no status"


def _is_on(text: str, feature: str) -> bool:
    return re.search(rf"^\s*\*\s+{re.escape(feature)}\s*$", text, re.MULTILINE) is not None


def ask(sysfs: str) -> dict[str, object]:
    """By kernel name, what each disk can do: ways, discard, and what is in the way."""
    found: dict[str, object] = {}
    folder = os.path.join(sysfs, "block")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if not re.fullmatch(r"(sd[a-z]+|vd[a-z]+|nvme\d+n\d+)", name):
            continue
        drive = Drive(sysfs, _line(os.path.join(folder, name, "dev")))
        discard = _line(os.path.join(folder, name, "queue/discard_max_bytes"))
        erases = [*drive.ways(), *(["discard"] if discard not in ("", "0") else [])]
        found[name] = {"can": erases, "problem": drive.problem()}
    return found


def _line(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:  # noqa: PTH123
            return stream.read(64).strip()
    except OSError:
        return ""


def _run(argv: list[str], timeout_s: float) -> "bytes | None":
    """What a tool prints; None where it is missing, fails or hangs."""
    try:
        done = subprocess.run(
            argv, capture_output=True, check=False, timeout=timeout_s, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout[:OUTPUT_BYTES] if done.returncode == 0 else None


def _do(argv: list[str], timeout_s: float) -> None:
    """Run a tool that must end well."""
    try:
        done = subprocess.run(
            argv, capture_output=True, check=False, timeout=timeout_s, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WriteError(EXIT_FAILED, f"{argv[0]}: {error}") from None
    if done.returncode:
        said = (done.stderr or done.stdout)[-300:].decode(errors="replace").strip()
        raise WriteError(EXIT_FAILED, f"{argv[0]} {argv[1]} ended with {done.returncode}: {said}")
