"""The fleet: read active hosts with a bound, plan all in one process, post jobs only where work is due."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from metal.edge_client.runs import RunCalls
from metal.edge_client.wire import Conflict
from metal.engine.observe import observe
from metal.errors import RackflowError
from metal.planning.plan import Plan
from metal.planning.report import standing
from metal.planning.steps import make_plan
from specs.phases import Phase

AT_ONCE: Final = 16
"""SSH handshakes at a time: each costs a core a few milliseconds and a machine a process."""


def due_hosts(edge: RunCalls) -> list[str]:
    """Hosts that run what we installed, or were adopted, and have a spec."""
    return [h.name for h in edge.hosts() if h.spec and h.phase in (Phase.ACTIVE, Phase.ADOPTED)]


def refresh_hosts(edge: RunCalls, names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Read each host; those that answered, and why the others did not."""
    silent: dict[str, str] = {}

    def read(name: str) -> None:
        try:
            observe(edge, name, None)
        except RackflowError as error:
            silent[name] = str(error)
            edge.put_condition(name, "Reachable", status="False", reason=error.reason, message=error.message)
        else:
            edge.put_condition(name, "Reachable", status="True", reason="ok", message="read over SSH")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(read, names))
    return [name for name in names if name not in silent], silent


def post_jobs(edge: RunCalls, names: list[str]) -> list[str]:
    """Plan on what was read, set InSync, post `apply` where steps are due; names of those posted."""
    posted = []
    for name in names:
        try:
            plan = plan_one(edge, name)
        except RackflowError as error:
            # One host that can't be planned (just being wiped, say) must not end the run for the others.
            edge.put_condition(name, "InSync", status="Unknown", reason=error.reason, message=error.message)
            continue
        if plan.steps and not plan.blocked and not plan.destructive:
            # A host with another job under way is not disturbed; the next turn looks at it again.
            with suppress(Conflict):
                edge.post_job(name, "apply", by="fleet")
                posted.append(name)
    return posted


def plan_one(edge: RunCalls, name: str) -> Plan:
    """Plan a host on its last reading and say whether it is in sync."""
    order = edge.order(name)
    plan = make_plan(order, order.host.observation)
    edge.put_condition(
        name,
        "InSync",
        status="True" if plan.in_sync else "False",
        reason="ok" if plan.in_sync else "drift",
        message=standing(plan),
    )
    return plan
