"""The form in Prefect's UI that asks a person for consent: the run suspends itself and leaves no process.

Prefect keeps the form beside the suspended run and validates the answer. The form is asked for with the
same key each time, so the resumed run, which starts at its first line, gets the answer where another
start would ask. What the answer is worth is judged by the edge (DESIGN 5.2).
"""

from typing import Final, Literal

from prefect import get_run_logger
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from metal.planning.plan import Plan
from metal.planning.report import markdown
from metal.planning.safety import written_disks
from specs.sizes import human_size

CONSENT_S: Final = 7 * 24 * 3600
"""As long as a consent and the wait for one live."""


class ConsentForm(RunInput):
    """What a person answers; sent off as it is shown, it destroys nothing."""

    answer: Literal["refuse", "consent"] = Field(
        default="refuse",
        title="Answer",
        description="refuse: nothing is erased and the job is cancelled. "
        "consent: erase what is listed above, for this plan only.",
    )


def ask(plan: Plan, turn: int) -> bool:
    """Suspend this run until the form is answered, and give the answer once it is.

    `turn` numbers the job's questions about one plan: an old answer must not stand for a new question.

    Raises Prefect's Pause, which ends the process; RuntimeError when Prefect refuses to suspend the run.
    """
    form = ConsentForm.with_initial_data(description=question(plan))
    given = suspend_flow_run(wait_for_input=form, key=key(plan.hash, turn), timeout=CONSENT_S)
    assert given is not None
    get_run_logger().info("%s: the form for plan %s says %s", plan.host, plan.hash[:12], given.answer)
    return given.answer == "consent"


def key(plan_hash: str, turn: int) -> str:
    """The suspension's key: one per plan and question, so that an answer is never taken for another."""
    return f"consent-{plan_hash[:12]}-{turn}"


def question(plan: Plan) -> str:
    """What the form shows: what is erased first, then the whole plan."""
    lost = {
        one.serial.strip(): f"- `{one.serial}`, {human_size(one.size_bytes)}: {one.found}"
        for step in plan.steps
        for one in step.destroys
    }
    # A file system that is made beside one that stays names no disk as erased, and destroys all the same.
    parts = {
        name: f"- `{name or 'a disk without a name'}`: what the plan's steps write over; it was not looked at"
        for name in written_disks(plan)
        if name not in lost
    }
    told = "\n".join((lost | parts).values()).replace("<", "&lt;") or "- nothing"
    return f"### Erase data on {plan.host}?\n\nThese disks lose what they hold:\n\n{told}\n\n{markdown(plan)}"
