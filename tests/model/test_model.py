"""A run may die at any moment: leases, epochs, waits, sweeper, journal and consent, in any order of faults.

More examples, and a failing one made small:
RACKFLOW_MODEL_EXAMPLES=2000 RACKFLOW_MODEL_SHRINK=1 .venv/bin/python -m pytest tests/model/test_model.py
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.faults import Faults

EXAMPLES = int(os.environ.get("RACKFLOW_MODEL_EXAMPLES", "20"))
SHRINK = "RACKFLOW_MODEL_SHRINK" in os.environ
STEPS = int(os.environ.get("RACKFLOW_MODEL_STEPS", "40"))


def settings_for(examples: int, steps: int, *phases: Phase) -> settings:
    """Fixed seeds: what failed once fails again; by hand, more examples find more."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        phases=phases or ((Phase.generate, Phase.shrink) if SHRINK else (Phase.generate,)),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )


@pytest.mark.timeout(max(600, 60 * EXAMPLES))
def test_whatever_happens_the_job_ends_and_nothing_is_written_twice(templates: Path) -> None:
    Faults.templates, Faults.ends = templates, {}
    run_state_machine_as_test(Faults, settings=settings_for(EXAMPLES, STEPS))
    assert {"done", "failed"} <= Faults.ends.keys(), Faults.ends
