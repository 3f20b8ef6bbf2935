"""Injected failures through the real edge: `why` names the cause, the facts and the next step of each."""

import json
from dataclasses import dataclass
from typing import Final

import pytest

from tests.pxe_edge.api import conftest as edge_in_memory
from tests.pxe_edge.api.conftest import HOST, Site
from tests.pxe_edge.registry.injections import (
    STRANGER,
    Inject,
    another_host_key,
    another_machine,
    asked,
    bmc,
    boot_given,
    cancel_asked,
    cancelled,
    condition,
    consent,
    console,
    ended,
    held_stranger,
    image_missing,
    lease_expired,
    lease_kept,
    long_phase,
    lose_runs,
    no_deployment,
    nobody_consents,
    nobody_takes_it,
    plain_client,
    prefect_down,
    prefect_silent,
    process_hangs,
    ready_without,
    released,
    remove_boot_os,
    run_quiet,
    seen_on_console,
    step,
    waiting,
    waiting_with_bmc,
)

site = edge_in_memory.site
reported = edge_in_memory.reported


@dataclass(frozen=True)
class Failure:
    """What is done to the edge, and what it says then."""

    inject: Inject
    cause: str
    facts: tuple[str, ...]
    next_step: str
    what: str = HOST


AGAIN = f"rackflow inspect {HOST}"
FAILURES: Final[dict[str, Failure]] = {
    "Prefect is away": Failure(
        prefect_down, "prefect-away", ("job 2 (inspect)", "ConnectError"), "rackflow up"
    ),
    "the flow is not deployed": Failure(
        no_deployment, "no-deployment", ("no deployment power/t1",), "rackflow up registers"
    ),
    "no worker": Failure(
        nobody_takes_it, "no-worker", ("run 1 (flow run", "job 1 (discover)"), "rackflow worker"
    ),
    "a process never claims": Failure(
        process_hangs, "run-unclaimed", ("run 1 (flow run", "where it is PENDING"), "worker's log"
    ),
    "Prefect fell silent": Failure(prefect_silent, "prefect-silent", ("run 1", "job 1"), "rackflow up"),
    "a run crashed": Failure(
        lose_runs(1), "run-lost", ("1 run of job 1", "attempt 1 of 5 starts at 12:00:31"), "Nothing to do"
    ),
    "six runs crashed": Failure(lose_runs(6), "runs-lost", ("6 runs were lost", "CRASHED"), AGAIN),
    "a lease expired": Failure(
        lease_expired,
        "lease-expired",
        ("since 12:00:01", "at 12:01:31", "in step bmc-setup"),
        "Nothing to do",
    ),
    "a lease expired, Prefect away": Failure(
        lease_kept, "lease-kept", ("expired at 12:01:31", "not handed on"), f"rackflow release {HOST}"
    ),
    "a run missed renewals": Failure(run_quiet, "run-quiet", ("expires at 12:01:31",), "Nothing to do"),
    "a phase took too long": Failure(
        long_phase, "phase-deadline", ("inspecting took longer than 30 min",), AGAIN
    ),
    "a plan waits for consent": Failure(
        consent("waiting-consent"),
        "consent",
        ("plan abcdef012345", "until 2026-12-02 12:00", "D0 (8 GiB: ntfs)"),
        f"rackflow approve {HOST} --plan abcdef012345",
    ),
    "a plan would erase another's data": Failure(
        consent("foreign-content"),
        "consent-foreign",
        ("not this host's own", "D0"),
        f"rackflow approve {HOST}",
    ),
    "nobody consented": Failure(nobody_consents, "consent-expired", ("consent",), AGAIN),
    "a cancel was asked for": Failure(
        cancel_asked, "cancel-asked", ("step read-disks", "1 step done"), f"rackflow cancel {HOST}"
    ),
    "a job was cancelled": Failure(cancelled, "cancelled", ("stopped before step raid",), AGAIN),
    "a host was released": Failure(released, "released", ("ann",), AGAIN),
    "the machine is off, no BMC": Failure(
        waiting("boot-os"), "not-asked-no-bmc", ("waits for boot-os", "since 12:00:01", "12:02:01"), "by hand"
    ),
    "the machine is off": Failure(
        waiting_with_bmc, "not-asked", ("has not asked for a boot",), f"rackflow console {HOST}"
    ),
    "no boot OS is built": Failure(
        waiting("boot-os", remove_boot_os),
        "boot-os-missing",
        ("no boot OS is built",),
        "rackflow bootos build",
    ),
    "another machine reports in": Failure(
        waiting("boot-os", another_machine),
        "report-in-refused",
        ("at 12:00:02", "UUID"),
        f"rackflow host {HOST}",
    ),
    "another system phones home": Failure(
        waiting("os", another_host_key), "phone-home-refused", ("host key",), f"rackflow host {HOST}"
    ),
    "an architecture without loader": Failure(
        asked("dhcp", "answer=OFFER boot=no-loader"), "no-loader", ("no loader for its architecture",), "UEFI"
    ),
    "the pool is used up": Failure(
        asked("dhcp", "answer=none reason=pool-exhausted"),
        "no-dhcp-answer",
        ("pool-exhausted",),
        "larger pool",
    ),
    "the loader hangs": Failure(
        asked("dhcp", "answer=OFFER boot=loader:undionly.kpxe"),
        "loader-silent",
        ("loader:undionly.kpxe", "12:00:02"),
        "rackflow doctor",
    ),
    "the boot OS hangs": Failure(
        waiting("boot-os", boot_given), "no-report-in", ("boot_no=2", "12:00:02"), f"rackflow console {HOST}"
    ),
    "kernel panic": Failure(
        seen_on_console("boot-os", "Kernel panic - not syncing: Attempted to kill init!\r\n"),
        "kernel-panic",
        ("Attempted to kill init!", "boot 1"),
        f"rackflow console {HOST}",
    ),
    "nothing to boot": Failure(
        seen_on_console("os", "Boot failed: not a bootable disk\r\nNo bootable device.\r\n"),
        "no-bootable-device",
        ("No bootable device",),
        f"rackflow power cycle {HOST}",
    ),
    "GRUB lost its disk": Failure(
        seen_on_console("os", "error: no such device: 8d1f2c5e.\r\nEntering rescue mode...\r\ngrub rescue> "),
        "boot-loader-stuck",
        ("grub rescue>",),
        f"rackflow console {HOST}",
    ),
    "iPXE fails": Failure(
        seen_on_console(
            "boot-os", "Configuring (net0 52:54:00:00:00:0a)...... No configuration methods succeeded\r\n"
        ),
        "network-boot-failed",
        ("No configuration methods succeeded",),
        "rackflow doctor",
    ),
    "no root file system": Failure(
        seen_on_console("os", "ALERT!  /dev/vda1 does not exist.  Dropping to a shell!\r\n(initramfs) "),
        "emergency-shell",
        ("(initramfs)",),
        f"rackflow console {HOST}",
    ),
    "the boot OS has no network": Failure(
        seen_on_console("boot-os", "bootos: 31.0 no DHCP answer on eth0 for 20 s (carrier 0); asking on\r\n"),
        "boot-os-no-network",
        ("carrier 0",),
        "VLAN",
    ),
    "the disk is broken": Failure(
        seen_on_console("os", "[    9.1] I/O error, dev sda, sector 2048 op 0x0:(READ)\r\n"),
        "disk-errors",
        ("dev sda",),
        "replace the disk",
    ),
    "the system has no way to the edge": Failure(
        seen_on_console("os", "Debian GNU/Linux 12 web-01 ttyS0\r\n\r\nweb-01 login: "),
        "no-phone-home",
        ("web-01 login:",),
        f"rackflow plan {HOST}",
    ),
    "it starts from its disk": Failure(
        seen_on_console("boot-os", "web-01 login: "),
        "booted-disk",
        ("started from its disk",),
        "network boot first",
    ),
    "the system is silent": Failure(
        seen_on_console("os", "Booting from Hard Disk...\r\n"),
        "os-silent",
        ("Booting from Hard Disk",),
        "console",
    ),
    "the BMC is gone": Failure(waiting("bmc"), "bmc-away", ("BMC",), f"rackflow cancel {HOST}"),
    "the boot OS panicked, too late": Failure(
        ended("boot-os-timeout", "late", lambda site: console(site, "Kernel panic - not syncing: x\r\n")),
        "kernel-panic",
        ("inspect-failed", "did not come up in time", "job 1 (discover)"),
        f"rackflow console {HOST}",
    ),
    "the BMC refuses the login": Failure(
        ended("bmc-unverified", "the BMC takes no credential; tried rackflow@10.77.9.50 (current)", bmc),
        "bmc-refuses",
        ("10.77.9.50", "tried rackflow@10.77.9.50 (current)"),
        f"rackflow inspect {HOST}",
    ),
    "the BMC is not on the LAN": Failure(
        ended("bmc-unverified", "rackflow@10.77.9.50 was set in band and does not log in over the LAN", bmc),
        "bmc-not-on-lan",
        ("was set in band",),
        "route to 10.77.9.50",
    ),
    "the BMC is silent": Failure(
        ended("unreachable", "no IPMI session with 10.77.9.50: timeout", bmc),
        "bmc-silent",
        ("10.77.9.50", "timeout"),
        f"rackflow power status {HOST}",
    ),
    "the BMC lies": Failure(
        ended("refused", "the BMC keeps another boot override: set pxe, read back none", bmc),
        "bmc-lies",
        ("read back none",),
        "Reset or update the BMC at 10.77.9.50",
    ),
    "two BMCs have one address": Failure(
        ended("bmc-mismatch", "another BMC answers: MAC in band a, over the LAN b"),
        "bmc-mismatch",
        ("over the LAN b", "job 1, discover"),
        "rackflow inspect",
    ),
    "the machine does not prove itself": Failure(
        ended("identity-unproven", "the value read over the LAN is not the one written in band"),
        "identity-unproven",
        ("written in band",),
        f"rackflow host {HOST}",
    ),
    "a step failed": Failure(
        ended("refused", "exit 1", step("done", "wipe"), step("failed", "raid", message="mdadm: busy")),
        "failed-step",
        ("step raid failed", "1 finished step:", "mdadm: busy"),
        f"rackflow plan {HOST} --refresh",
    ),
    "no disk fits": Failure(
        ended("no-matching-disk", "rootDevice: serial D9 is none of D0, D1"),
        "no-matching-disk",
        ("D9",),
        "rule",
    ),
    "a secret was changed": Failure(
        ended("secret-missing", "the password of ops is secret:ops-password@3, which is not current"),
        "secret-not-set",
        ("secret ops-password",),
        "rackflow secret set ops-password",
    ),
    "the image is not in the store": Failure(
        image_missing, "image-not-stored", ("image deb is not in the store",), "rackflow image add deb"
    ),
    "an image is needed": Failure(
        ready_without("image: deb", "ops-password"), "image-needed", ("image deb",), "rackflow image add deb"
    ),
    "a secret is needed": Failure(
        ready_without("", None), "secret-needed", ("ops-password",), "rackflow secret set ops-password"
    ),
    "the system does not answer": Failure(
        condition("Reachable", "unreachable", "no SSH connection"),
        "not-reachable",
        ("no SSH",),
        "rackflow power status",
    ),
    "an unknown machine is held": Failure(
        held_stranger, "stranger-known-reason", ("holds unknown machines",), f"approve {STRANGER}", STRANGER
    ),
    "an unknown machine boots its disk": Failure(
        plain_client, "stranger-no-boot", ("10.77.1.50", "13:00:00"), f"--mac {STRANGER}", STRANGER
    ),
}


@pytest.mark.parametrize("name", FAILURES)
def test_why_tells_the_cause_and_what_to_do(reported: Site, name: str) -> None:
    failure = FAILURES[name]
    built = reported.registry.data / "boot" / "bootos"
    built.mkdir(parents=True)
    (built / "current.json").write_text(json.dumps({"kernel": "k", "initrds": []}))
    failure.inject(reported)

    told = reported.call("GET", f"/v1/why/{failure.what}")

    assert told["cause"] == failure.cause, told["sentence"]
    assert [fact for fact in failure.facts if fact not in told["sentence"]] == [], told["sentence"]
    assert failure.next_step in told["next"]
    assert not {"NAME", "MAC"} & set(told["next"].split())
