"""A task whose machine does not answer yet gives the wait back: nothing failed, nothing is red in the UI."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from prefect import get_run_logger

from metal.errors import JobWaits, Wait

P = ParamSpec("P")
T = TypeVar("T")


def may_wait(act: Callable[P, T]) -> Callable[P, T | Wait]:
    """Give the wait that stands at the edge as the task's result; `Stage.got` ends the run with it."""

    @wraps(act)
    def waiting(*args: P.args, **kwargs: P.kwargs) -> T | Wait:
        try:
            return act(*args, **kwargs)
        except JobWaits as ends:
            get_run_logger().info("%s", ends)
            return ends.wait

    return waiting
