"""`destroy: ask`: a plan that erases waits for a person, and goes on when one consents to exactly it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import parts, witness
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


def waits(site: Site, host: str) -> JobRecord:
    """Ask for a reinstallation; its job, once it waits for a person and nothing of it runs any more."""
    number = reinstall(site, host)
    waiting = eventually("waiting", lambda: ended_as(site, host, number, "waiting-consent"), 120)
    eventually("no process", lambda: not parts.pids(site.demo.data, "run"), 30)
    with site.demo.edge() as edge:
        assert edge.host(host).lease is None
    return waiting


def reinstalled(site: Site, host: str, number: int, before: str) -> None:
    """The job ends done, the system is a new one, and nothing is left to do."""
    ended = eventually("reinstalled", lambda: ended_as(site, host, number, "done"), 400)
    assert ended.result == "applied"
    assert install_record(site) != before
    row = site.apply(host)
    assert (row["result"], row["writes"]) == ("in-sync", 0)


def install_record(site: Site) -> str:
    """What the deployed db-01 says about its installation, as a digest."""
    return site.ssh("10.77.1.22", "sudo sha256sum /etc/rackflow/install.json")


def asking_text() -> str:
    """db-01's spec, with a person to be asked."""
    return spec_text("hosts/db-01.yaml") + "lifecycle: {destroy: ask}\n"


@pytest.fixture
def asking(specs: Publish) -> None:
    """db-01 asks before it destroys."""
    specs({"hosts/db-01.yaml": asking_text()})


def test_a_reinstallation_waits_for_consent_and_then_runs(site: Site, specs: Publish, asking: None) -> None:
    """No process and no lease while it waits; another plan's hash is refused with the difference."""
    before = install_record(site)
    first = waits(site, "db-01")
    assert "RF-M1-D0" in (first.message or "")
    specs(
        {
            "hosts/db-01.yaml": spec_text("hosts/db-01.yaml").replace("3GiB", "4GiB")
            + "lifecycle: {destroy: ask}\n"
        }
    )
    second = waits(site, "db-01")
    with site.demo.edge() as edge:
        assert (edge.job("db-01", first.no).state, second.no) == ("cancelled", first.no + 1)

    assert first.plan is not None
    refused = site.refused("approve", "db-01", "--plan", first.plan)
    site.rackflow("approve", "db-01")

    assert second.plan is not None
    assert second.plan[:12] in refused
    assert "partition" in refused
    reinstalled(site, "db-01", second.no, before)


def test_the_form_in_prefects_ui_consents_too(site: Site, asking: None) -> None:
    """The suspended run goes on with the body that the UI's form sends."""
    before = install_record(site)
    waiting = waits(site, "db-01")

    answer = site.prefect(f"/flow_runs/{waiting.run_id}/resume", {"run_input": {"answer": "consent"}})

    assert answer["status"] == "ACCEPT"
    reinstalled(site, "db-01", waiting.no, before)
    with site.demo.edge() as edge:
        given = [line.text for line in edge.timeline("db-01") if line.kind == "consent"]
        assert edge.job("db-01", waiting.no).run_id == waiting.run_id
    assert "prefect-ui (shared)" in given[-1]


def test_a_rule_that_fits_two_disks_is_refused_untouched(site: Site, specs: Publish) -> None:
    """Nothing is touched, and the disks that were seen are named."""
    two = spec_text("profiles/web.yaml").replace(
        "rootDevice: {raid: system}", "rootDevice: {transport: sata}"
    )
    two = two[: two.index("raid:\n")] + two[two.index("rootDevice:") :]
    specs({"profiles/web.yaml": two})
    console = Path(site.demo.data) / "lab" / "machines" / "m2" / "serial.log"
    before = witness.read(console)

    plan = site.json("plan", "web-01", "--reinstall", ok=(3,))["hosts"][0]
    number = reinstall(site, "web-01")
    ended = eventually("refused", lambda: ended_as(site, "web-01", number, "failed"), 120)
    blocked = [step for step in plan["steps"] if step["blocked_by"]]
    assert [step["blocked_by"] for step in blocked] == ["ambiguous-disk"]
    assert all(serial in blocked[0]["reason"] for serial in ("RF-M2-D0", "RF-M2-D1"))
    assert ended.reason == "ambiguous-disk"
    assert site.json("host", "web-01")["phase"] == "active"
    assert len(before) > 0
    assert witness.read(console) == before
