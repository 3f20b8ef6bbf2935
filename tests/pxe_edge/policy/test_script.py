"""Scripts, seeds and rate limits: the small policies."""

from ipaddress import IPv4Address

import pytest

from pxe_edge.policy.boot import LocalDisk, Script, Silence
from pxe_edge.policy.limits import MAC_PACKETS_PER_S, RELAY_PACKETS_PER_S, RateLimit
from pxe_edge.policy.script import boot_script, chain_script, message_script
from pxe_edge.policy.seeds import MAX_STARTS, SeedTicket, finish_transfer, start_transfer
from pxe_edge.policy.views import BootOsView, BootPlan, SiteView

BASE = "http://10.77.1.2:8080"
PEER = IPv4Address("10.77.1.50")


def test_the_script_names_every_image_for_efi_and_tells_the_nic():
    bootos = BootOsView("bootos/vmlinuz", ("bootos/bootos.img",), "bootos/fw.cpio", "console=ttyS0,115200")
    lines = boot_script(BASE, "52:54:00:00:00:01", BootPlan(3, "/seed/abc"), bootos).splitlines()
    assert lines[0] == "#!ipxe"
    assert lines[2] == (
        f"kernel {BASE}/bootos/vmlinuz initrd=bootos.img initrd=fw.cpio initrd=seed.cpio "
        "console=ttyS0,115200 BOOTIF=01-52-54-00-00-00-01 rackflow=1 || goto failed"
    )
    assert lines[3:6] == [
        f"initrd --name bootos.img {BASE}/bootos/bootos.img || goto failed",
        f"initrd --name fw.cpio {BASE}/bootos/fw.cpio || goto failed",
        f"initrd --name seed.cpio {BASE}/seed/abc || goto failed",
    ]
    assert lines[6] == "boot || goto failed"
    assert ":failed" in lines


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Script(), "run `rackflow bootos build`"),
        (LocalDisk("no-work-due"), "no-work-due"),
        (Silence("awaiting-approval"), "awaiting-approval"),
    ],
)
def test_without_a_boot_the_screen_says_why_and_the_firmware_goes_on(answer, said):
    text = message_script(answer, SiteView("lab"))
    assert text.startswith("#!ipxe\necho ")
    assert said in text
    assert text.endswith("exit 1\n")


def test_a_message_can_not_become_a_command():
    site = SiteView("lab", what_is_missing="a\nshell ${net0/ip} || reboot")
    lines = message_script(Script(), site).splitlines()
    assert [line.split()[0] for line in lines] == ["#!ipxe", "echo", "sleep", "exit"]
    assert not set(lines[1]) & set("$|{}")


def test_who_does_not_say_who_it_is_comes_back_with_mac_and_uuid():
    assert f"chain {BASE}/boot.ipxe?mac=${{netX/mac}}&uuid=${{uuid}}" in chain_script(BASE)


def ticket(**changes):
    return SeedTicket(**{"nonce": "n", "address": PEER, "expires_at": 100.0, **changes})


@pytest.mark.parametrize(
    ("given", "peer", "now", "answer"),
    [
        (ticket(), PEER, 0.0, ticket(starts=1)),
        (ticket(address=None), PEER, 0.0, ticket(starts=1)),
        (ticket(), IPv4Address("10.77.1.51"), 0.0, "another-address"),
        (ticket(), PEER, 100.0, "expired"),
        (ticket(starts=MAX_STARTS - 1), PEER, 0.0, ticket(starts=MAX_STARTS)),
        (ticket(starts=MAX_STARTS), PEER, 0.0, "too-many-starts"),
        (finish_transfer(ticket(starts=1)), PEER, 0.0, "already-taken"),
    ],
)
def test_seed_tickets(given, peer, now, answer):
    assert start_transfer(given, peer, now) == answer


def test_a_rate_limit_holds_per_key_and_forgets_after_its_window():
    limit = RateLimit(10, max_keys=2)
    assert [limit.allows("a", 0.0) for _ in range(21)] == [True] * 20 + [False]
    assert limit.allows("b", 0.0)
    assert not limit.allows("a", 1.9)
    assert [limit.allows("c", 1.9) for _ in range(30)] == [True] * 30  # no room to count a third key
    assert limit.allows("a", 2.1)
    assert len(limit._counts) == 1


def test_a_rate_limit_never_bites_below_its_rate():
    limit = RateLimit(MAC_PACKETS_PER_S)
    assert all(limit.allows("m", number / 10) for number in range(3000))
    assert MAC_PACKETS_PER_S >= 10
    relay = RateLimit(RELAY_PACKETS_PER_S)
    assert all(relay.allows("r", number / 50_000) for number in range(120_000))
