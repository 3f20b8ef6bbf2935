"""The automation that shows runs of a dead machine as crashed: one per server, and never needed."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore, EventTrigger

from flows.fleet import reconcile_fleet
from flows.zombies import NAME, automation, register_automation
from metal.cli.up.parts import SiteRun, prefect_env
from pxe_edge.jobs.timing import Timing


class FakePrefect:
    """Keeps automations; an old server has none."""

    def __init__(self, *, old: bool = False) -> None:
        self.old = old
        self.kept: dict[str, AutomationCore] = {}

    def read_automations_by_name(self, name: str) -> list[SimpleNamespace]:
        if self.old:
            raise RuntimeError("404 for /automations/filter")
        return [SimpleNamespace(id=number) for number, one in self.kept.items() if one.name == name]

    def create_automation(self, made: AutomationCore) -> None:
        self.kept[f"a{len(self.kept)}"] = made

    def update_automation(self, number: str, made: AutomationCore) -> None:
        self.kept[number] = made


def registered(fake: FakePrefect) -> str:
    return register_automation(cast("SyncPrefectClient", fake))


def trigger() -> EventTrigger:
    made = automation().trigger
    assert isinstance(made, EventTrigger)
    return made


def test_a_second_registration_brings_the_first_up_to_date() -> None:
    fake = FakePrefect()
    assert [registered(fake), registered(fake)] == ["registered", "updated"]
    assert [one.name for one in fake.kept.values()] == [NAME]


def test_a_server_without_automations_takes_the_deployments_all_the_same() -> None:
    assert "404" in registered(FakePrefect(old=True))


def test_the_window_is_longer_than_two_heartbeats_of_our_workers(tmp_path: Any) -> None:
    """Healthy runs were marked CRASHED under a shorter one."""
    site = SiteRun(tmp_path)
    site.auth_file.parent.mkdir()
    site.auth_file.write_text("user:password")
    heartbeat_s = int(prefect_env(site)["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"])
    assert trigger().within.total_seconds() > 2 * heartbeat_s


@pytest.mark.parametrize("end", ["Suspended", "Completed", "Failed", "Cancelled", "Crashed", "heartbeat"])
def test_what_ends_a_runs_heartbeats_for_good_reason_is_expected(end: str) -> None:
    assert f"prefect.flow-run.{end}" in trigger().expect


def test_a_fleet_run_ends_by_itself_before_the_edge_ends_it() -> None:
    assert 0 < (reconcile_fleet.timeout_seconds or 0) < Timing().fleet_s
