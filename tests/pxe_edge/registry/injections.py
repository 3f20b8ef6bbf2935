"""Ways to make a host fail, through the calls by which it fails in life.

Report-ins, DHCP and HTTP requests, leases, waits, journal rows, outcomes, console bytes, a Prefect that
is away or says CRASHED.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from pxe_edge.policy.leases import LeaseRow
from pxe_edge.policy.requests import BootRequest, Via
from pxe_edge.registry import boots, hosts
from pxe_edge.registry.lease_store import LeaseStore
from pxe_edge.registry.packet_view import PacketView
from tests.pxe_edge.api.conftest import HOST, MAC, PEER, SITE, Site

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
    row = LeaseRow(int(PEER), STRANGER, "prov", "bound", site.clock.now.timestamp() + 3600)
    LeaseStore(site.registry.db).commit([row])
