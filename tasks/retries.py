"""What is worth a retry: one table, for every task.

Only what did not answer is asked again; a refusal repeated is refused again, and an unsafe or
half-understood action repeated does harm. Retries stay under a minute: they hold the process, and a
longer wait is a new run.
"""

from typing import Any, Final

from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from metal.errors import (
    Cancelled,
    InvalidSpecs,
    LeaseLost,
    RackflowError,
    Refused,
    SpecError,
    Unparsable,
    Unreachable,
    UnsafeChange,
)

WORTH_A_RETRY: Final[dict[type[RackflowError], bool]] = {
    Unreachable: True,
    Refused: False,
    Unparsable: False,
    SpecError: False,
    InvalidSpecs: False,
    UnsafeChange: False,
    LeaseLost: False,
    Cancelled: False,
}
DELAYS_S: Final = [2, 5, 10]
JITTER: Final = 0.3


def worth_a_retry(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether the failed state's error is of a family that is worth a retry."""
    # Prefect asks with the raised exception itself as data; `state.result()` may read a result store.
    error = state.data
    return any(WORTH_A_RETRY[family] for family in type(error).__mro__ if family in WORTH_A_RETRY)


RETRY: Final[dict[str, Any]] = {
    "retries": len(DELAYS_S),
    "retry_delay_seconds": DELAYS_S,
    "retry_jitter_factor": JITTER,
    "retry_condition_fn": worth_a_retry,
}
"""Keyword arguments of a task that only reads or is idempotent by observing first."""
