"""`destroy: ask`: a plan that erases waits for a person, and goes on when one consents to exactly it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.demo import CLONE, Machine
from lab.site import Site, eventually
from specs.records import JobRecord

Publish = Callable[[dict[str, str]], None]

pytestmark = [pytest.mark.rack, pytest.mark.timeout(900)]


def spec_text(name: str) -> str:
    """A committed spec file."""
    return (CLONE / "specs" / name).read_text()


def ended_as(site: Site, host: str, number: int, state: str) -> JobRecord | None:
    """The job, once it is in a state."""
    with site.demo.edge() as edge:
        job = edge.job(host, number)
    return job if job.state == state else None


def reinstall(site: Site, host: str) -> int:
    """Ask for a reinstallation, as a person."""
    with site.demo.edge() as edge:
        return edge.post_job(host, "reinstall", by="tester").no


@pytest.fixture
def specs(site: Site, installed: dict[str, Machine]) -> Iterator[Publish]:
    """Publish the committed specs with some files replaced; afterwards as they are committed."""
    yield site.publish
    site.publish({})


def test_a_reinstallation_waits_for_consent_and_then_runs(site: Site, specs: Publish) -> None:
    """Exit 4 names the disk; before the consent nothing is erased; after it the host ends in sync."""
    specs({"hosts/db-01.yaml": spec_text("hosts/db-01.yaml") + "lifecycle: {destroy: ask}\n"})
    before = site.ssh("10.77.1.22", "sudo sha256sum /etc/rackflow/install.json")
    number = reinstall(site, "db-01")
    waiting = eventually("waiting", lambda: ended_as(site, "db-01", number, "waiting-consent"), 120)
    assert "RF-M1-D0" in (waiting.message or "")
    assert site.ssh("10.77.1.22", "sudo sha256sum /etc/rackflow/install.json") == before

    site.rackflow("approve", "db-01", "--wait")

    assert site.ssh("10.77.1.22", "sudo sha256sum /etc/rackflow/install.json") != before
    row = site.apply("db-01")
    assert (row["result"], row["writes"]) == ("in-sync", 0)


def test_a_rule_that_fits_two_disks_is_refused_untouched(site: Site, specs: Publish) -> None:
    """Nothing is touched, and the disks that were seen are named."""
    two = spec_text("profiles/web.yaml").replace(
        "rootDevice: {raid: system}", "rootDevice: {transport: sata}"
    )
    two = two[: two.index("raid:\n")] + two[two.index("rootDevice:") :]
    specs({"profiles/web.yaml": two})
    disk = Path(site.demo.data) / "lab" / "machines" / "m2"
    before = {path.name: path.stat().st_mtime_ns for path in disk.glob("disk*")}

    plan = site.json("plan", "web-01", "--reinstall", ok=(3,))["hosts"][0]
    number = reinstall(site, "web-01")
    ended = eventually("refused", lambda: ended_as(site, "web-01", number, "failed"), 120)
    blocked = [step for step in plan["steps"] if step["blocked_by"]]
    assert [step["blocked_by"] for step in blocked] == ["ambiguous-disk"]
    assert all(serial in blocked[0]["reason"] for serial in ("RF-M2-D0", "RF-M2-D1"))
    assert ended.reason == "ambiguous-disk"
    assert site.json("host", "web-01")["phase"] == "active"
    assert before.keys() == {path.name for path in disk.glob("disk*")}
