"""What an exit status and the last line of stderr say: a refusal of rf-exec, or the command's own failure."""

import json

import pytest

from bootos.rf_held import EXIT_IO, failed
from bootos.rf_image import EXIT_UNREACHABLE, WriteError
from bootos.rf_records import EXIT_BUSY, EXIT_DISK
from metal.errors import LeaseLost, Refused
from metal.protocols import Output
from metal.transport.rf_exec import failure

RF_EXEC = "/usr/lib/rackflow/rf-exec"


def answer(status: int, **told: object) -> Output:
    return Output(("true",), status, "", "noise\n" + json.dumps({"exit": status, **told}) + "\n")


@pytest.mark.parametrize("status", [64, 70, EXIT_DISK, 78, EXIT_BUSY, 124, 137])
def test_what_rf_exec_refuses_is_a_refusal(status):
    refused = failure("web-01", answer(status, error="no"), RF_EXEC)
    assert isinstance(refused, Refused)
    assert refused.message == "rf-exec: no"


def test_a_lower_epoch_and_a_fence_are_a_lost_lease():
    assert isinstance(failure("web-01", answer(75, error="older"), RF_EXEC), LeaseLost)
    assert isinstance(failure("web-01", answer(70, fenced=True, step="x"), RF_EXEC), LeaseLost)


@pytest.mark.parametrize("code", [EXIT_UNREACHABLE, EXIT_IO])
def test_an_image_writer_that_failed_is_no_refusal_of_rf_exec(code, capfd):
    """It says so in the same shape; a server that was away is then asked again."""
    status = failed(WriteError(code, "http://e/m could not be reached"))
    told = capfd.readouterr().err
    assert failure("web-01", Output(("rf-write",), status, "", told), RF_EXEC) is None
