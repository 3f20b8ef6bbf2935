"""The automation that lets Prefect itself notice runs whose machine died: no heartbeat, so CRASHED.

A convenience for people who look at Prefect's UI: nothing depends on it. The edge's sweeper decides by the
lease, also where this is missing or was deleted.
"""

from datetime import timedelta
from typing import Final

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

NAME: Final = "rackflow: runs without a heartbeat"
HEARTBEAT_S: Final = 30
"""`PREFECT_FLOWS_HEARTBEAT_FREQUENCY` of the workers; the smallest that Prefect takes."""
WINDOW_S: Final = 4 * HEARTBEAT_S
"""More than twice the heartbeat: healthy runs were marked CRASHED under a shorter window."""
ENDS: Final = ("Completed", "Failed", "Cancelled", "Crashed", "Suspended")
"""What ends the heartbeats of a run for good reason; a suspended run has no process to send them."""


def automation() -> AutomationCore:
    """A run of ours that sent a heartbeat, and then for two minutes neither another one nor an end."""
    heartbeat = "prefect.flow-run.heartbeat"
    trigger = EventTrigger(
        posture=Posture.Proactive,
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
        match_related=ResourceSpecification(
            {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.rackflow"}
        ),
        for_each={"prefect.resource.id"},
        after={heartbeat},
        expect={heartbeat, *(f"prefect.flow-run.{end}" for end in ENDS)},
        threshold=1,
        within=timedelta(seconds=WINDOW_S),
    )
    crash = ChangeFlowRunState(
        name=None, state=StateType.CRASHED, message=f"no heartbeat for {WINDOW_S} s", force=False
    )
    return AutomationCore(name=NAME, description=__doc__.split("\n\n")[0], trigger=trigger, actions=[crash])


def register_automation(client: SyncPrefectClient) -> str:
    """Create it, or bring the one of that name up to date; what was done, in words. Raises nothing."""
    try:
        known = client.read_automations_by_name(NAME)
        if known:
            client.update_automation(known[0].id, automation())
        else:
            client.create_automation(automation())
    except Exception as error:  # noqa: BLE001 - a server without automations runs our flows all the same
        return f"not registered: {type(error).__name__}: {error}"
    return "updated" if known else "registered"
