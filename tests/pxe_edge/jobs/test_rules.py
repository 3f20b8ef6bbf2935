"""Which jobs may be posted, how they end, what posts one by itself, when a boot is due."""

from typing import Any

import pytest

from pxe_edge.jobs import rules
from pxe_edge.jobs.due import BootState, boot_os_due
from pxe_edge.jobs.rules import Ending, Job, New, Refused, Same
from specs.model import Host
from specs.phases import Phase, allowed


def job(verb: str, state: str) -> Job:
    return Job(4, verb, state)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("there", "by", "expected"),
    [
        (None, "operator", New()),
        (("apply", "wanted"), "operator", Same(4)),
        (("apply", "claimed"), "fleet", Same(4)),
        (("apply", "waiting"), "operator", Same(4)),
        (("discover", "waiting"), "operator", "discover"),
        (("apply", "cancelling"), "operator", "cancelling"),
        (("discover", "claimed"), "operator", "discover"),
        (("apply", "waiting-consent"), "operator", New(supersedes=4)),
        (("apply", "waiting-consent"), "fleet", Same(4)),
    ],
)
def test_post(there: tuple[str, str] | None, by: str, expected: object) -> None:
    jobs = [job(*there)] if there else []
    got = rules.post(jobs, verb="apply", by=by, phase=Phase.READY)
    if isinstance(expected, str):
        assert isinstance(got, Refused)
        assert got.other == 4
        assert expected in got.message
    else:
        assert got == expected


def test_a_host_whose_system_runs_is_not_inspected() -> None:
    takes = {
        phase for phase in Phase if isinstance(rules.post([], verb="inspect", by="ann", phase=phase), New)
    }
    assert takes.isdisjoint({Phase.ACTIVE, Phase.ADOPTED, Phase.RESCUE, Phase.RETIRED})
    assert takes >= {Phase.READY, Phase.PROVISION_FAILED, Phase.WIPE_FAILED, Phase.INSPECT_FAILED}


def test_a_verb_without_a_flow_and_a_retired_host_are_refused() -> None:
    assert isinstance(rules.post([], verb="rescue", by="operator", phase=Phase.ACTIVE), Refused)
    assert isinstance(rules.post([], verb="apply", by="operator", phase=Phase.RETIRED), Refused)


@pytest.mark.parametrize("phase", Phase)
def test_a_wipe_is_posted_where_the_phases_allow_one(phase: Phase) -> None:
    found = rules.post([], verb="wipe", by="operator", phase=phase)
    if allowed(phase, Phase.WIPING):
        assert found == New()
    else:
        assert isinstance(found, Refused)
        assert phase.value in found.message or phase is Phase.RETIRED


@pytest.mark.parametrize(
    ("args", "wrong"),
    [
        ({}, ""),
        ({"method": "sanitize", "disks": ["D0"]}, ""),
        ({"disks": "all", "plan": "f" * 64}, ""),
        ({"disk": "D0"}, "disk: Extra inputs"),
        ({"disks": []}, "disks: "),
        ({"method": "burn"}, "method: "),
    ],
)
def test_a_wipe_whose_arguments_are_misread_is_not_begun(args: dict[str, Any], wrong: str) -> None:
    """What is left out means every disk of the host."""
    found = rules.post([], verb="wipe", by="operator", phase=Phase.READY, args=args)
    if wrong:
        assert isinstance(found, Refused)
        assert f"args of wipe: {wrong}" in found.message
        assert found.other is None
    else:
        assert found == New()


def test_who_wants_a_host_blank_does_not_want_it_installed_at_once() -> None:
    assert {verb for verb in rules.FLOW_OF if not rules.leads_on(verb)} == {"wipe"}


def test_a_reading_is_a_job_that_takes_no_waiting_jobs_place() -> None:
    waiting = [job("apply", "waiting-consent")]
    assert rules.post([], verb="observe", by="operator", phase=Phase.ACTIVE) == New()
    assert rules.FLOW_OF["observe"] == "reconcile-host"
    for verb in ("observe", "power"):
        assert isinstance(rules.post(waiting, verb=verb, by="operator", phase=Phase.ACTIVE), Refused)


def test_a_wish_for_another_thing_is_not_answered_with_the_open_job() -> None:
    """`power off` is not what an open `power on` does; a program only asks that something be open."""
    there = [rules.Job(4, "power", "claimed", {"action": "on"})]

    def posted(action: str, by: str) -> object:
        return rules.post(there, verb="power", by=by, phase=Phase.ACTIVE, args={"action": action})

    assert posted("on", "operator") == Same(4)
    assert posted("off", "fleet") == Same(4)
    refused = posted("off", "operator")
    assert isinstance(refused, Refused)
    assert "'action': 'on'" in refused.message


@pytest.mark.parametrize(
    ("state", "result", "phase", "expected"),
    [
        ("claimed", "applied", Phase.ACTIVE, Ending("done", Phase.ACTIVE)),
        ("claimed", "in-sync", Phase.ACTIVE, Ending("done", Phase.ACTIVE)),
        ("claimed", "failed", Phase.INSPECTING, Ending("failed", Phase.INSPECT_FAILED)),
        ("claimed", "failed", Phase.PROVISIONING, Ending("failed", Phase.PROVISION_FAILED)),
        ("claimed", "failed", Phase.ACTIVE, Ending("failed", Phase.ACTIVE)),
        ("cancelling", "failed", Phase.PROVISIONING, Ending("cancelled", Phase.PROVISION_FAILED)),
        ("claimed", "waiting-consent", Phase.READY, Ending("waiting-consent", Phase.READY)),
        ("cancelling", "waiting-consent", Phase.READY, Ending("cancelled", Phase.READY)),
        ("cancelling", "waiting-consent", Phase.PROVISIONING, Ending("cancelled", Phase.PROVISION_FAILED)),
        ("cancelling", "applied", Phase.ACTIVE, Ending("done", Phase.ACTIVE)),
    ],
)
def test_finish(state: str, result: str, phase: Phase, expected: Ending) -> None:
    assert rules.finish(state, result, phase) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phase", "there", "posts"),
    [
        (Phase.REGISTERED, None, True),
        (Phase.INSPECT_FAILED, None, True),
        (Phase.INSPECTING, ("discover", "claimed"), False),
        (Phase.REGISTERED, ("discover", "done"), True),
        (Phase.PROVISIONING, ("apply", "claimed"), False),
        (Phase.READY, None, False),
        (Phase.ACTIVE, None, False),
    ],
)
def test_what_a_report_in_posts(phase: Phase, there: tuple[str, str] | None, *, posts: bool) -> None:
    assert rules.report_in_posts(phase, [job(*there)] if there else []) is posts


@pytest.mark.parametrize(
    ("phase", "image", "destroy", "due"),
    [
        (Phase.READY, "debian-12", "allow", True),
        (Phase.READY, "debian-12", "ask", False),
        (Phase.READY, None, "allow", False),
        (Phase.ACTIVE, "debian-12", "allow", False),
    ],
)
def test_only_a_ready_host_whose_spec_allows_it_is_provisioned_by_itself(
    phase: Phase, image: str | None, destroy: str, *, due: bool
) -> None:
    spec = Host.model_validate({"metadata": {"name": "a"}, "image": image, "lifecycle": {"destroy": destroy}})
    assert rules.apply_is_due(phase, spec) is due
    assert not rules.apply_is_due(phase, None)


def test_delivery_delays_grow_to_a_cap() -> None:
    delays = [rules.delivery_delay_s(attempts, 1.0) for attempts in range(12)]
    assert delays == sorted(delays)
    assert delays[0] <= 1.0
    assert delays[-1] == rules.RETRY_CAP_S
    assert rules.delivery_delay_s(3, 0.0) == delays[3] / 2


@pytest.mark.parametrize(
    ("state", "claimed_once", "how"),
    [
        ("wanted", False, "end"),
        ("wanted", True, "wind-down"),
        ("delivered", False, "end"),
        ("delivered", True, "wind-down"),
        ("claimed", True, "wind-down"),
        ("waiting", True, "wind-down"),
        ("waiting-consent", True, "end"),
        ("cancelling", True, "nothing"),
        ("done", True, "nothing"),
        ("failed", True, "nothing"),
        ("cancelled", False, "nothing"),
    ],
)
def test_how_a_job_is_cancelled(state: str, how: str, *, claimed_once: bool) -> None:
    assert rules.cancel(state, claimed_once=claimed_once) == how  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("phase", "wish", "there", "installed_by", "due"),
    [
        (Phase.REGISTERED, "none", None, None, True),
        (Phase.INSPECTING, "none", ("discover", "claimed"), None, True),
        (Phase.INSPECT_FAILED, "none", None, None, True),
        (Phase.READY, "none", None, None, False),
        (Phase.READY, "boot-os", None, None, True),
        (Phase.READY, "none", ("apply", "wanted"), None, True),
        (Phase.READY, "none", ("power", "claimed"), None, False),
        (Phase.READY, "none", ("apply", "waiting-consent"), None, False),
        (Phase.PROVISIONING, "none", ("apply", "claimed"), None, True),
        (Phase.PROVISIONING, "none", ("apply", "waiting"), None, True),
        (Phase.PROVISIONING, "none", ("apply", "waiting"), 4, False),
        (Phase.READY, "none", ("apply", "waiting"), None, True),
        (Phase.PROVISIONING, "none", ("apply", "claimed"), 3, True),
        (Phase.PROVISIONING, "none", ("apply", "claimed"), 4, False),
        (Phase.PROVISIONING, "boot-os", ("apply", "claimed"), 4, True),
        (Phase.PROVISION_FAILED, "none", None, None, False),
        (Phase.ACTIVE, "none", ("apply", "claimed"), 2, False),
        (Phase.ACTIVE, "boot-os", ("reinstall", "claimed"), 2, True),
        (Phase.ACTIVE, "none", ("wipe", "claimed"), 2, False),
        (Phase.WIPING, "none", ("wipe", "waiting"), 2, True),
        (Phase.WIPE_FAILED, "none", ("wipe", "wanted"), 2, True),
        (Phase.WIPE_FAILED, "none", None, 2, False),
        (Phase.RETIRED, "boot-os", None, None, False),
    ],
)
def test_which_machine_is_due_for_the_boot_os(
    phase: Phase, wish: str, there: tuple[str, str] | None, installed_by: int | None, *, due: bool
) -> None:
    state = BootState(phase, wish, job(*there) if there else None, installed_by)  # type: ignore[arg-type]
    assert boot_os_due(state) is due
