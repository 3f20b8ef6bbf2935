"""Injected failures through the real edge: `why` names the cause, the facts and the next step of each.

Every failure is brought about by the calls that bring it about in life: report-ins, DHCP and HTTP
requests, leases, waits, journal rows, outcomes, console bytes, a Prefect that is away or says CRASHED.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import pytest

from pxe_edge.policy.leases import LeaseRow
from pxe_edge.policy.requests import BootRequest, Via
from pxe_edge.registry import boots, hosts
from pxe_edge.registry.lease_store import LeaseStore
from pxe_edge.registry.packet_view import PacketView
from tests.pxe_edge.api import conftest as edge_in_memory
from tests.pxe_edge.api.conftest import HOST, MAC, PEER, SITE, Site

site = edge_in_memory.site
reported = edge_in_memory.reported

JOB = f"/v1/hosts/{HOST}/jobs/1"
STRANGER = "52:54:00:00:00:66"
Inject = Callable[[Site], None]
PLAN: Final = {
    "steps": [{"id": "wipe", "destroys": [{"serial": "D0", "size_bytes": 8 << 30, "found": "ntfs"}]}]
}
SPECS: Final = {
    "site.yaml": SITE,
    "image.yaml": "apiVersion: rackflow/v1\nkind: Image\nmetadata: {name: deb}\nsource: {upload: true}\n"
    "os: {family: debian, version: '12'}\n",
    "web.yaml": "apiVersion: rackflow/v1\nkind: Host\nmetadata: {name: web-01}\nmatch: {serial: SN-A}\n"
    "rootDevice: {serial: D1}\nusers: [{name: ops, passwordFrom: {secret: ops-password}}]\nIMAGE\n",
}


@dataclass(frozen=True)
class Failure:
    """What is done to the edge, and what it says then."""

    inject: Inject
    cause: str
    facts: tuple[str, ...]
    next_step: str
    what: str = HOST


def request(site: Site, via: Via, outcome: str, mac: str = MAC, client: Any = "pxe") -> None:
    """One boot request as the packet plane notes it."""
    view = PacketView(site.registry)
    view.sighting(BootRequest(mac, client, network="prov", via=via), outcome)
    view.flush()


def console(site: Site, text: str) -> None:
    """Bytes at the end of the newest boot's serial log, by the broker's call."""
    newest = site.call("GET", f"/v1/hosts/{HOST}/boots")["items"][-1]
    path = f"/v1/hosts/{HOST}/boots/{newest['boot_no']}/console"
    site.call("PUT", path, expect=204, params={"offset": newest["console_bytes"]}, content=text.encode())


def waiting(event: str, then: Inject | None = None, after_s: float = 60) -> Inject:
    """The run waits for a boot, something happens, time passes."""

    def inject(site: Site) -> None:
        epoch = site.start("inspecting")
        site.wait(epoch, event, message=f"waits for {event} to come")
        site.clock.forward(1)
        if then is not None:
            then(site)
        site.clock.forward(after_s)

    return inject


def seen_on_console(event: str, text: str) -> Inject:
    return waiting(event, lambda site: console(site, text))


def asked(via: Via, outcome: str, after_s: float = 60) -> Inject:
    return waiting("boot-os", lambda site: request(site, via, outcome), after_s)


def ended(reason: str, message: str, *before: Inject) -> Inject:
    """The run reports a failure."""

    def inject(site: Site) -> None:
        epoch = site.start("inspecting")
        for one in before:
            one(site)
        site.finish(epoch, "failed", reason=reason, message=message)

    return inject


def step(phase: str, name: str, **detail: Any) -> Inject:
    def inject(site: Site) -> None:
        body = {"epoch": 1, "job": 1, "step": name, "kind": "k", "phase": phase, "detail": detail}
        site.call("POST", f"/v1/hosts/{HOST}/journal", expect=201, json=body)

    return inject


def consent(reason: str) -> Inject:
    def inject(site: Site) -> None:
        site.call("PUT", "/v1/plans/abcdef0123456789", expect=204, json=PLAN)
        epoch = site.start("inspecting")
        site.finish(epoch, "waiting-consent", reason=reason, plan="abcdef0123456789")

    return inject


def bmc(site: Site) -> None:
    account = {"epoch": 1, "address": "10.77.9.50", "user": "rackflow"}
    site.call("POST", f"/v1/hosts/{HOST}/bmc-credential", json=account)
    site.call("POST", f"/v1/hosts/{HOST}/bmc-credential/promote", json={"epoch": 1, "user": "rackflow"})


def waiting_with_bmc(site: Site) -> None:
    epoch = site.start("inspecting")
    bmc(site)
    site.wait(epoch, "boot-os", message="waits for the boot OS")
    site.clock.forward(60)


def prefect_down(site: Site) -> None:
    site.start("inspecting")
    site.finish(1, "applied")
    site.prefect.down = True
    site.call("POST", f"/v1/hosts/{HOST}/jobs", scope="admin", expect=201, json={"verb": "inspect"})
    site.deliver()


def no_deployment(site: Site) -> None:
    site.prefect.deployments.clear()
    site.call("POST", f"{JOB}/cancel", scope="admin")
    site.call("POST", f"/v1/hosts/{HOST}/jobs", scope="admin", expect=201, json={"verb": "power"})
    site.deliver()


def nobody_takes_it(site: Site) -> None:
    site.clock.forward(60)
    site.sweep()


def process_hangs(site: Site) -> None:
    site.prefect.says(site.prefect.newest(), "PENDING")
    nobody_takes_it(site)


def prefect_silent(site: Site) -> None:
    site.sweep()
    site.clock.forward(90)


def lose_runs(times: int) -> Inject:
    def inject(site: Site) -> None:
        for _ in range(times):
            site.start("inspecting")
            site.prefect.says(site.prefect.newest(), "CRASHED")
            site.sweep()
            if times > 1:
                site.clock.forward(3600 if site.job()["state"] == "wanted" else 0)
                with site.registry.db.write() as session:  # the phase's clock is another failure's
                    hosts.get(session, HOST).phase_since = site.clock.now
                site.deliver()

    return inject


def lease_expired(site: Site) -> None:
    site.start("inspecting")
    step("intent", "bmc-setup")(site)
    site.clock.forward(50)
    site.sweep()
    site.clock.forward(45)


def lease_kept(site: Site) -> None:
    site.start("inspecting")
    site.clock.forward(200)
    site.prefect.down = True
    site.sweep()


def run_quiet(site: Site) -> None:
    site.start("inspecting")
    site.clock.forward(50)
    site.sweep()


def long_phase(site: Site) -> None:
    epoch = site.start("inspecting")
    site.clock.forward(31 * 60)
    site.call("PUT", f"/v1/hosts/{HOST}/lease", json={"epoch": epoch, "run_id": site.prefect.newest()})
    site.sweep()


def nobody_consents(site: Site) -> None:
    consent("waiting-consent")(site)
    site.clock.forward(8 * 24 * 3600)
    site.sweep()


def cancel_asked(site: Site) -> None:
    site.start("inspecting")
    step("done", "bmc-setup")(site)
    step("intent", "read-disks")(site)
    site.call("POST", f"{JOB}/cancel", scope="admin")


def cancelled(site: Site) -> None:
    cancel_asked(site)
    site.finish(1, "failed", reason="cancelled", message="stopped before step raid")


def released(site: Site) -> None:
    site.start("inspecting")
    site.call("POST", f"/v1/hosts/{HOST}/release", scope="admin", json={"by": "ann"})


def another_machine(site: Site) -> None:
    boot_no, token = site.boot()
    assert site.report_in(token, boot_no, uuid="99999999-2222-3333-4444-555555555555")[0] == 409


def another_host_key(site: Site) -> None:
    with site.registry.db.write() as session:
        host = hosts.get(session, HOST)
        host.installed = {"job": 1, "ssh_host_key": "ssh-ed25519 OURS"}
        deadline = site.clock.now + timedelta(hours=1)
        token = boots.install_token(session, site.clock.now, host, job=1, deadline=deadline)
    said = {"host": HOST, "boot_id": "b", "ssh_host_key": "ssh-ed25519 THEIRS"}
    assert site.desk.phone_home(token, said, PEER)[0] == 409


def remove_boot_os(site: Site) -> None:
    (site.registry.data / "boot" / "bootos" / "current.json").unlink()


def boot_given(site: Site) -> None:
    boot_no, _ = site.boot()
    request(site, "http", f"answer=script boot_no={boot_no}", client="ipxe")


def publish(site: Site, image: str = "") -> None:
    files = {name: text.replace("IMAGE", image) for name, text in SPECS.items()}
    site.registry.publish_files(files, author="test")


def ready(site: Site) -> int:
    epoch = site.start("inspecting")
    site.call("POST", f"/v1/hosts/{HOST}/phase", json={"epoch": epoch, "phase": "ready"})
    return epoch


def ready_without(image: str, secret: str | None) -> Inject:
    def inject(site: Site) -> None:
        publish(site, image)
        if secret is not None:
            site.call("PUT", f"/v1/secrets/{secret}", scope="admin", json={"value": "x"})
        site.finish(ready(site), "applied")

    return inject


def image_missing(site: Site) -> None:
    publish(site, "image: deb")
    ended("image-missing", "no image deb is in the store")(site)


def condition(type_: str, reason: str, message: str) -> Inject:
    def inject(site: Site) -> None:
        publish(site)
        site.call("PUT", "/v1/secrets/ops-password", scope="admin", json={"value": "x"})
        site.finish(ready(site), "applied")
        body = {"status": "False", "reason": reason, "message": message}
        site.call("PUT", f"/v1/hosts/{HOST}/conditions/{type_}", expect=204, json=body)

    return inject


def held_stranger(site: Site) -> None:
    request(site, "dhcp", "answer=none reason=awaiting-approval", mac=STRANGER)


def plain_client(site: Site) -> None:
    row = LeaseRow(PEER, STRANGER, "prov", "bound", site.clock.now.timestamp() + 3600)
    LeaseStore(site.registry.db).commit([row])


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
        "pool in the Site",
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
