"""GRUB's configuration: the entrance, the boot, the message; GRUB's own parser reads them all."""

import shutil
import subprocess

import pytest

from pxe_edge.policy.boot import LocalDisk, Script, Silence
from pxe_edge.policy.grub import boot_config, entrance, message_config
from pxe_edge.policy.views import BootOsView, BootPlan, SiteView

BASE = "http,10.77.1.2:8080"
BOOTOS = BootOsView(
    "bootos/1a/vmlinuz", ("bootos/1a/base.img",), "bootos/1a/fw.cpio", "console=ttyS0,115200 quiet"
)
BOOT = boot_config(BASE, "52:54:00:00:00:01", BootPlan(3, "/seed/abc"), BOOTOS)


def test_who_does_not_say_who_it_is_comes_back_with_its_mac():
    assert "configfile (http,10.77.1.2:8080)/v1/boot/$net_default_mac/$grub_cpu/grub.cfg\n" in entrance(BASE)


def test_the_boot_os_is_loaded_with_its_seed_last():
    assert (
        "if linux (http,10.77.1.2:8080)/bootos/1a/vmlinuz 'console=ttyS0,115200' 'quiet' "
        "'BOOTIF=01-52-54-00-00-00-01' 'rackflow=1'; then\n" in BOOT
    )
    images = [word.rstrip(";") for word in BOOT.splitlines()[3].split()[2:5]]
    assert images == [f"({BASE})/{path}" for path in ("bootos/1a/base.img", "bootos/1a/fw.cpio", "seed/abc")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Script(), "run `rackflow bootos build`"),
        (LocalDisk("no-work-due"), "no-work-due"),
        (Silence("awaiting-approval"), "awaiting-approval"),
    ],
)
def test_without_a_boot_the_screen_says_why_and_the_firmware_goes_on(answer, said):
    text = message_config(answer, SiteView("lab"))
    assert said in text
    assert text.endswith("exit\n")


def test_a_message_can_not_become_a_command():
    site = SiteView("lab", what_is_missing="a'\nreboot; $x \\' \u2028")
    lines = message_config(Script(), site).splitlines()
    assert [line.split()[0] for line in lines] == ["#", "echo", "sleep", "exit"]
    assert lines[1].count("'") == 2


@pytest.mark.parametrize("text", [entrance(BASE), BOOT, message_config(Script(), SiteView("lab"))])
def test_grubs_parser_takes_it(text):
    if shutil.which("grub-script-check") is None:
        pytest.skip("grub-common is not installed")
    done = subprocess.run(["grub-script-check"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
