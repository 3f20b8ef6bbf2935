"""What is retried: the table covers every family, and Prefect asks it as we think it does."""

import importlib
import pkgutil
from typing import Any, cast

import pytest
from prefect import Task, flow, task
from prefect.client.schemas.objects import TaskRun
from prefect.exceptions import MissingResult
from prefect.states import Completed, Failed
from prefect.testing.utilities import prefect_test_harness

import tasks
from metal import errors
from metal.edge_client.wire import Conflict, NotKnown
from metal.errors import InvalidSpecs, RackflowError, Refused, Unreachable
from tasks.retries import DELAYS_S, RETRY, WORTH_A_RETRY, worth_a_retry

MODULES = [importlib.import_module(f"tasks.{one.name}") for one in pkgutil.iter_modules(tasks.__path__)]
TASKS = {id(one): one for module in MODULES for one in vars(module).values() if isinstance(one, Task)}
KEYS = ("retries", "retry_delay_seconds", "retry_jitter_factor", "retry_condition_fn")
ANY: Any = None


def test_every_error_family_has_its_row() -> None:
    families = {
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, RackflowError) and one is not RackflowError
    }

    assert families == set(WORTH_A_RETRY)


@pytest.mark.parametrize(
    ("data", "again"),
    [
        (Unreachable("silent"), True),
        (Refused("no"), False),
        (NotKnown("no such host"), False),
        (Conflict("held"), False),
        (InvalidSpecs("1 finding"), False),
        (errors.LeaseLost("held"), False),
        (errors.UnsafeChange("erases"), False),
        (RackflowError("a family of its own is asked for"), False),
        (ValueError("a bug"), False),
        (MissingResult("not read"), False),
        (None, False),
    ],
)
def test_only_silence_is_worth_a_retry(data: Exception | None, *, again: bool) -> None:
    assert worth_a_retry(ANY, cast("TaskRun", ANY), Failed(data=data)) is again


def test_a_good_result_is_no_error() -> None:
    assert worth_a_retry(ANY, cast("TaskRun", ANY), Completed(data="done")) is False


def test_retries_hold_their_process_for_less_than_a_minute() -> None:
    assert sum(DELAYS_S) * (1 + RETRY["retry_jitter_factor"]) < 60


def test_a_task_retries_by_the_table_or_not_at_all() -> None:
    assert len(TASKS) >= 10
    others = [
        one.name
        for one in TASKS.values()
        if one.retries and {key: getattr(one, key) for key in KEYS} != {key: RETRY[key] for key in KEYS}
    ]

    assert others == []


@pytest.mark.prefect
@pytest.mark.filterwarnings("default")  # Prefect's own server and client warn of their own dependencies
def test_prefect_retries_an_unreachable_task_and_not_a_refused_one() -> None:
    calls: list[str] = []

    def failing(error: RackflowError) -> Task[[], None]:
        def act() -> None:
            calls.append(type(error).__name__)
            raise error

        return task(**(RETRY | {"retry_delay_seconds": 0, "name": type(error).__name__}))(act)

    @flow
    def both() -> tuple[str, str]:
        states = [failing(error)(return_state=True) for error in (Unreachable("silent"), Refused("no"))]
        return states[0].type.value, states[1].type.value

    with prefect_test_harness(server_startup_timeout=240):
        ended = both()

    assert ended == ("FAILED", "FAILED")
    assert calls == ["Unreachable"] * (1 + len(DELAYS_S)) + ["Refused"]
