"""The power flow's one task: what it sends goes out under the run's epoch."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from metal.engine.claim import Claim
from metal.errors import LeaseLost
from tasks import power as module


class Edge:
    """An edge that has given the host to another run since."""

    def journal_rows(self, _host: str, *, job: int) -> list[Any]:
        return []

    def bmc_lock(self, host: str, *, epoch: int | None = None, **_more: Any) -> list[Any]:
        if epoch is not None and epoch < 5:
            raise LeaseLost("epoch 4 is not the holder's", host=host, reason="lease-lost")
        pytest.fail("a run that lost the host got the BMC and its credentials")


def test_a_run_that_lost_the_host_switches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EdgeClient", lambda: nullcontext(Edge()))
    monkeypatch.setattr(module, "get_run_logger", lambda: SimpleNamespace(info=lambda *_: None))
    with pytest.raises(LeaseLost):
        module.set_power.fn(Claim("web-01", 7, "run-1", 4), "off")
