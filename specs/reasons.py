"""Reason codes: why a host is where it is, each with one sentence and one next step.

The code is what programs and tests compare, the sentence is what a person reads. Docs are generated
from this table; a message with details may replace the sentence, never the code.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason code."""

    code: str
    sentence: str
    next_step: str


REASONS: Final[dict[str, Reason]] = {
    r.code: r
    for r in (
        Reason("ok", "Everything asked for is there.", "Nothing to do."),
        Reason(
            "no-work-due", "No boot is due: the machine gets an address and no boot file.", "Nothing to do."
        ),
        Reason(
            "discovery-off",
            "The site answers no unknown machines.",
            "Set discovery in the Site, or add the host.",
        ),
        Reason(
            "awaiting-approval",
            "The site holds unknown machines until they are approved.",
            "rackflow host approve MAC",
        ),
        Reason(
            "foreign-system",
            "The machine has a bootable system on its disks that no spec claims.",
            "rackflow host approve NAME, or bind a spec with lifecycle.destroy.",
        ),
        Reason(
            "identity-conflict",
            "Two machines claim one identity.",
            "Compare rackflow host NAME with the report.",
        ),
        Reason("no-spec", "No spec is bound to this host.", "Publish a Host spec whose match fits it."),
        Reason("no-boot-os", "No boot OS is built, so nothing can be booted.", "rackflow bootos build"),
        Reason(
            "boot-os-timeout", "The boot OS did not report in before the deadline.", "rackflow console NAME"
        ),
        Reason(
            "os-timeout",
            "The installed system did not phone home before the deadline.",
            "rackflow console NAME",
        ),
        Reason(
            "bmc-unverified",
            "The BMC does not answer on the LAN with the credential set.",
            "rackflow credentials NAME",
        ),
        Reason(
            "bmc-mismatch",
            "The BMC on the LAN is not the one in the machine.",
            "Check the BMC address for a twin.",
        ),
        Reason("unreachable", "The machine does not answer.", "rackflow power status NAME"),
        Reason("refused", "The machine refused a command.", "Read the step's output in the run."),
        Reason("unparsable", "A tool's output could not be read.", "Report the output shown in the run."),
        Reason(
            "no-matching-disk", "A device rule matches no disk.", "Compare the rule with the disks listed."
        ),
        Reason(
            "ambiguous-disk", "A device rule matches more than one disk.", "Name the disk by serial or WWN."
        ),
        Reason(
            "not-enough-drives",
            "A RAID volume asks for more drives than fit.",
            "Compare the rule with the disks.",
        ),
        Reason(
            "no-matching-nic",
            "A network rule matches no NIC, or more than one.",
            "Compare the rule with the NICs listed.",
        ),
        Reason("no-address", "No address is allocated from a pool.", "rackflow spec publish"),
        Reason(
            "unsupported",
            "The spec asks for something that this version does not do.",
            "Leave it out, or choose another way.",
        ),
        Reason("image-missing", "The image is not in the store.", "rackflow image add NAME"),
        Reason(
            "image-mismatch", "The image is not the one that the spec names.", "rackflow image add NAME again"
        ),
        Reason(
            "image-unfit",
            "The image cannot boot this machine.",
            "Compare os.bootModes with the firmware mode.",
        ),
        Reason(
            "layout-impossible",
            "The partitions do not fit the disk.",
            "Make them smaller or choose another disk.",
        ),
        Reason("destroy-never", "The spec forbids destroying.", "Set lifecycle.destroy to ask or allow."),
        Reason("waiting-consent", "The plan destroys data and waits for consent.", "rackflow approve NAME"),
        Reason(
            "foreign-content",
            "A disk holds content that this host's install record does not list.",
            "rackflow approve NAME",
        ),
        Reason("plan-moved", "The machine is not as the plan left it.", "rackflow plan NAME --refresh"),
        Reason("lease-lost", "Another run holds the host.", "rackflow host NAME"),
        Reason("step-failed", "A step failed.", "Read the step's output in the run."),
        Reason(
            "verify-failed",
            "The deployed system is not what the spec asks for.",
            "rackflow plan NAME --refresh",
        ),
        Reason("drift", "The machine differs from its spec.", "rackflow plan NAME shows what apply repairs."),
        Reason("secret-missing", "A named secret is not set.", "rackflow secret set NAME"),
        Reason("job-crashed", "The job's run ended without an outcome.", "rackflow apply NAME"),
        Reason("cancelled", "An operator cancelled the job.", "rackflow apply NAME"),
        Reason(
            "runs-lost",
            "Six runs of the job were lost, one after the other, and none finished a step.",
            "rackflow doctor, then rackflow apply NAME",
        ),
        Reason(
            "phase-deadline",
            "The phase took longer than it may.",
            "Read the timeline for what it waited for, then rackflow apply NAME",
        ),
        Reason("consent-expired", "Nobody consented within seven days.", "rackflow apply NAME asks anew"),
        Reason("consent-refused", "A person refused the plan.", "Change the spec, or rackflow apply NAME"),
        Reason("released", "An operator took the host from its run.", "rackflow apply NAME"),
        Reason(
            "identity-unproven",
            "The machine did not prove that it is this host, so it gets no secret.",
            "Compare rackflow host NAME with the machine in the rack.",
        ),
        Reason(
            "boot-os-lost",
            "The boot OS went away, and the machine may not be power-cycled without a command.",
            "rackflow power cycle NAME",
        ),
    )
}
