"""What NVMe and ATA drives say of themselves, and what is had done, with tools that remember."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bootos import rf_sanitize
from bootos.rf_sanitize import Drive
from bootos.rf_target import WriteError

LINES = {
    "sanitize": "\t   *\tSANITIZE feature set\n",
    "off": "\t    \tSANITIZE feature set\n",
    "crypto": "\t   *\tCRYPTO_SCRAMBLE_EXT command\n",
    "block": "\t   *\tBLOCK_ERASE_EXT command\n",
    "overwrite": "\t   *\tOVERWRITE_EXT command\n",
    "zeros": "\t   *\tDeterministic read ZEROs after TRIM\n",
}


class Tools:
    """nvme and hdparm over one drive."""

    def __init__(self) -> None:
        self.features: tuple[str, ...] = ()
        self.security: set[str] = set()
        self.sanicap = self.oacs = self.fna = self.dlfeat = 0
        self.states: list[str | tuple[int, int]] = []
        self.ran: list[list[str]] = []
        self.password = ""
        self.tried = 0

    def run(self, argv: list[str], _timeout_s: float) -> bytes | None:
        if argv[:2] == ["hdparm", "-I"]:
            return self.identify().encode()
        if "--sanitize-status" in argv:
            return str(self.states.pop(0) if self.states else "State: SD0 Sanitize Idle").encode()
        if "--security-unlock" in argv:
            self.tried += 1
            if argv[-2] == self.password:
                self.security -= {"locked"}
            return b""
        raw = bytearray(4096)
        if "id-ctrl" in argv:
            raw[328:332], raw[256:258] = self.sanicap.to_bytes(4, "little"), self.oacs.to_bytes(2, "little")
            raw[524] = self.fna
        elif "id-ns" in argv:
            raw[33] = self.dlfeat
        else:
            done, status = self.states.pop(0) if self.states else (0, 0)
            raw[:2], raw[2] = int(done).to_bytes(2, "little"), int(status)
        return bytes(raw)

    def do(self, argv: list[str], _timeout_s: float) -> None:
        self.ran.append(argv)
        if "--security-set-pass" in argv:
            self.security |= {"enabled"}
        if any(word.startswith("--security-erase") for word in argv):
            self.security -= {"enabled"}

    def identify(self) -> str:
        words = ("supported", "enabled", "locked", "frozen")
        told = "".join(f"\t{'' if one in self.security else 'not'}\t{one}\n" for one in words)
        enhanced = "\t\tsupported: enhanced erase\n" if "enhanced" in self.security else ""
        features = "".join(LINES[one] for one in self.features)
        return (
            f"Commands/features:\n{features}Security: \n\tMaster password revision code = 1\n{told}{enhanced}"
        )


MakeDrive = Callable[..., Drive]


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Tools:
    made = Tools()
    monkeypatch.setattr(rf_sanitize, "_run", made.run)
    monkeypatch.setattr(rf_sanitize, "_do", made.do)
    monkeypatch.setattr(rf_sanitize, "LOOK_S", 0.0)
    return made


@pytest.fixture
def drive(tmp_path: Path) -> MakeDrive:
    def make(name: str, *siblings: str, opens: bool = False) -> Drive:
        device = tmp_path / "devices" / name
        device.mkdir(parents=True)
        (tmp_path / "dev/block").mkdir(parents=True)
        (tmp_path / "dev/block/8:0").symlink_to(device)
        for one in (name, *siblings):
            (device / "device" / one).mkdir(parents=True)
        return Drive(str(tmp_path), "8:0", opens=opens)

    return make


ATA = {
    "sanitize, best first": (("overwrite", "block", "crypto", "sanitize"), set(),
                             ["ata-crypto", "ata-block", "ata-overwrite"], None),
    "features without the set": (("off", "crypto"), set(), [], None),
    "security": ((), {"supported"}, ["ata-security"], None),
    "security, enhanced": ((), {"supported", "enhanced"}, ["ata-security-enhanced", "ata-security"], None),
    "frozen": ((), {"supported", "enhanced", "frozen"}, [], "frozen by the firmware: cut its power"),
    "frozen, and sanitize is not": (("sanitize", "block"), {"supported", "frozen"}, ["ata-block"], None),
    "locked": ((), {"supported", "enabled", "locked"}, [], "locked by a password: unlock it with its own"),
    "locked and frozen": ((), {"supported", "enabled", "locked", "frozen"}, [], "start it anew"),
}  # fmt: skip


@pytest.mark.parametrize("name", ATA)
def test_what_an_ata_drive_can(name: str, tools: Tools, drive: MakeDrive) -> None:
    features, security, ways, problem = ATA[name]
    tools.features, tools.security = features, security
    one = drive("sda")
    assert one.ways() == ways
    assert (problem is None) == (one.problem() is None)
    assert (problem or "") in (one.problem() or "")


def test_a_drive_that_a_power_cut_left_locked_by_an_erasing_is_opened(tools: Tools, drive: MakeDrive) -> None:
    tools.security, tools.password = {"supported", "enabled", "locked"}, "rackflow"
    one = drive("sda", opens=True)
    assert one.ways() == ["ata-security"]
    one.erase("ata-security", going_on=False, tell=lambda _part: None)
    assert [argv[2:] for argv in tools.ran] == [
        ["--user-master", "u", "--security-erase", "rackflow", "/dev/sda"]
    ]


def test_a_locked_drive_is_tried_when_it_is_erased_and_never_when_it_is_read(
    tools: Tools, drive: MakeDrive
) -> None:
    tools.security, tools.password = {"supported", "enabled", "locked"}, "another"
    one = drive("sda")
    assert one.ways() == []
    assert tools.tried == 0
    opening = Drive(one.sysfs, "8:0", opens=True)
    assert "locked by a password" in str(opening.problem())
    assert tools.tried == 1


def test_security_erase_sets_the_word_erases_and_finds_security_off(tools: Tools, drive: MakeDrive) -> None:
    tools.security = {"supported", "enhanced"}
    drive("sda").erase("ata-security-enhanced", going_on=False, tell=lambda _part: None)
    assert [argv[4] for argv in tools.ran] == ["--security-set-pass", "--security-erase-enhanced"]
    assert "enabled" not in tools.security


def test_an_ata_sanitize_is_begun_once_and_waited_for(tools: Tools, drive: MakeDrive) -> None:
    tools.features = ("sanitize", "block")
    tools.states = [
        "State:    SD2 Sanitize operation In Process\n    Progress: 0x8000 (50%)",
        "State:    SD0 Sanitize Idle\n    Last Sanitize Operation Completed Without Error",
    ]
    parts: list[float] = []
    drive("sda").erase("ata-block", going_on=False, tell=parts.append)
    assert (parts, [argv[2] for argv in tools.ran]) == ([0.5], ["--sanitize-block-erase"])


@pytest.mark.parametrize("state", ["State: SD0 Sanitize Idle", "State: SD3 Sanitize Operation Failed", ""])
def test_an_ata_sanitize_without_a_good_end_has_failed(state: str, tools: Tools, drive: MakeDrive) -> None:
    tools.features, tools.states = ("sanitize", "block"), [state]
    with pytest.raises(WriteError, match=r"/dev/sda failed to sanitize itself: (State: SD|no status)"):
        drive("sda").erase("ata-block", going_on=False, tell=lambda _part: None)


@pytest.mark.parametrize(
    ("sanicap", "oacs", "fna", "ways"),
    [
        (0b111, 0, 0, ["nvme-crypto", "nvme-block", "nvme-overwrite"]),
        (0b010, 0b10, 0, ["nvme-block", "nvme-format"]),
        (0, 0b10, 0b100, ["nvme-format-crypto", "nvme-format"]),
        (0, 0, 0b100, []),
    ],
)
def test_what_an_nvme_drive_can(
    sanicap: int, oacs: int, fna: int, ways: list[str], tools: Tools, drive: MakeDrive
) -> None:
    tools.sanicap, tools.oacs, tools.fna = sanicap, oacs, fna
    assert drive("nvme0n1").ways() == ways


def test_a_drive_with_other_namespaces_is_not_sanitized_for_one_of_them(
    tools: Tools, drive: MakeDrive
) -> None:
    tools.sanicap = 0b001
    one = drive("nvme0n1", "nvme0n2", "nvme0")
    assert one.ways() == []
    assert one.problem() == "it would erase the drive's other namespaces too: nvme0n2"


def test_an_nvme_sanitize_goes_on_after_a_power_cut_without_being_begun_again(
    tools: Tools, drive: MakeDrive
) -> None:
    tools.sanicap, tools.states = 0b001, [(16384, 2), (32768, 2), (65535, 1)]
    one, parts = drive("nvme0n1"), list[float]()
    assert one.is_erasing()
    one.erase(one.way(), going_on=True, tell=parts.append)
    assert (parts, tools.ran) == ([0.5], [])
    tools.states = [(65535, 1)]
    one.erase("nvme-crypto", going_on=False, tell=parts.append)
    assert tools.ran == [["nvme", "sanitize", "/dev/nvme0n1", "--sanact=4"]]


@pytest.mark.parametrize(("status", "says"), [(3, "the last sanitize failed"), (0, "no status")])
def test_an_nvme_sanitize_that_failed_is_told(status: int, says: str, tools: Tools, drive: MakeDrive) -> None:
    tools.states = [(100, status)]
    with pytest.raises(WriteError, match=says):
        drive("nvme0n1").erase("nvme-block", going_on=False, tell=lambda _part: None)


def test_promises_of_zeros(tools: Tools, drive: MakeDrive, tmp_path: Path) -> None:
    nvme = drive("nvme0n1")
    assert not nvme.zeroes_after_discard()
    tools.dlfeat = 0b1001
    assert nvme.zeroes_after_discard()
    (tmp_path / "dev/block/8:0").unlink()
    (tmp_path / "dev/block/8:0").symlink_to(tmp_path / "devices/sdq")
    tools.features = ("zeros",)
    assert Drive(str(tmp_path), "8:0").zeroes_after_discard()
