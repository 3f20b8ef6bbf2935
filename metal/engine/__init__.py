"""Carrying a plan out: claim, observe, run one step, wait, verify. Tasks call these, one call each."""

from metal.engine.bmc_setup import BmcOutcome, setup_bmc
from metal.engine.claim import Claim, LeaseKeeper, check, claim_host
from metal.engine.connect import bmc, boot_os_shell, os_shell
from metal.engine.observe import observe
from metal.engine.power import PowerOutcome, power
from metal.engine.steps import StepOutcome, run_step
from metal.engine.verify import await_os, verify
from metal.engine.waits import wait_for

__all__ = [
    "BmcOutcome",
    "Claim",
    "LeaseKeeper",
    "PowerOutcome",
    "StepOutcome",
    "await_os",
    "bmc",
    "boot_os_shell",
    "check",
    "claim_host",
    "observe",
    "os_shell",
    "power",
    "run_step",
    "setup_bmc",
    "verify",
    "wait_for",
]
