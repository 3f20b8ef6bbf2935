"""A machine that claims another's hardware address, UUID and serial boots the boot OS, and gets nothing."""

import json
from collections.abc import Callable, Iterator

import pytest

from lab import demo as lab_demo
from lab import witness
from lab.demo import CLONE, Demo
from lab.kills import Bench, publish_without_hosts
from lab.site import eventually
from specs.phases import Phase
from specs.records import JobRecord

pytestmark = [pytest.mark.rack, pytest.mark.timeout(1200)]

IMPOSTOR = "mx"


@pytest.fixture
def bench(alone: Callable[[], Demo]) -> Iterator[Bench]:
    """A rack with m1 and a machine that claims to be m1."""
    demo = alone()
    lab_demo.build(demo)
    lab_demo.forget(demo)
    demo.python("-m", "lab", "up", "--rack", "lab/racks/impostor.yaml", "--fresh")
    try:
        yield Bench(demo)
    finally:
        demo.python("-m", "lab", "down")


def any_disk_text() -> str:
    """db-01's spec with a rule that the impostor's disk would fit."""
    spec = (CLONE / "specs" / "hosts" / "db-01.yaml").read_text()
    return spec.replace("rootDevice: {serial: RF-M1-D0}", "rootDevice: {minSize: 4GiB}")


def test_an_impostor_is_refused_before_it_gets_a_secret(bench: Bench) -> None:
    """The value that was written into its own BMC is not what the host's BMC shows over the LAN."""
    image = bench.demo.data / "images-src" / "demo-debian-12.qcow2"
    with bench.site() as site:
        site.rackflow("secret", "set", "ops-password", stdin=lab_demo.OPS_PASSWORD)
        site.rackflow("image", "add", "debian-12", "--file", str(image))
        publish_without_hosts(site)
        bench.lab("button", "m1", "on")
        eventually("ready", lambda: (found := bench.record()) and found.phase is Phase.READY, 400)
        bench.lab("fault", "m1", "link-down", "--nic", "0")
        bench.lab("fault", "m1", "link-down", "--nic", "1")
        site.publish({"hosts/db-01.yaml": any_disk_text()})
        bench.lab("button", IMPOSTOR, "on")

        ended = eventually("refused", lambda: failed(site.demo), 500)
        told = site.json("why", "db-01")

    assert ended.reason == "identity-unproven"
    assert told["reason"] == "identity-unproven"
    machines = json.loads(bench.lab("counters", IMPOSTOR, "--json"))["machines"]
    assert [disk["bytes_written"] for disk in machines[IMPOSTOR].values()] == [0]
    serial_log = bench.demo.data / "lab" / "machines" / IMPOSTOR / "serial.log"
    assert {one.program for one in witness.read(serial_log)} <= {"ipmitool"}


def failed(demo: Demo) -> JobRecord | None:
    """The host's newest job, once it has failed."""
    with demo.edge() as edge:
        host = next((host for host in edge.hosts() if host.name == "db-01"), None)
        job = edge.job("db-01", host.last_job) if host and host.last_job else None
    return job if job and job.verb == "apply" and job.state == "failed" else None
