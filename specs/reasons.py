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
            "Set discovery in the Site and rackflow spec publish, or rackflow host add NAME --mac MAC.",
        ),
        Reason(
            "awaiting-approval",
            "The site holds unknown machines until they are approved.",
            "rackflow host approve MAC",
        ),
        Reason(
            "foreign-system",
            "The machine has a bootable system on its disks that no spec claims.",
            "rackflow host approve NAME, or publish a spec that fits it.",
        ),
        Reason(
            "identity-conflict",
            "Two machines claim one identity.",
            "Compare rackflow host NAME with the machine that reported.",
        ),
        Reason(
            "no-spec",
            "No spec is bound to this host.",
            "Write a Host spec whose match fits it, then rackflow spec publish.",
        ),
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
            "Give one of the two BMCs another address, then rackflow inspect NAME.",
        ),
        Reason(
            "unreachable",
            "The machine does not answer.",
            "rackflow power status NAME, then rackflow console NAME.",
        ),
        Reason(
            "refused",
            "The machine refused a command.",
            "rackflow host NAME links the run with the tool's output; then rackflow apply NAME.",
        ),
        Reason(
            "unparsable",
            "A tool's output could not be read.",
            "rackflow host NAME links the run with the output; report it as a gap of ours.",
        ),
        Reason(
            "disks-unread",
            "The machine's disks are not known, so nothing is planned for them.",
            "rackflow inspect NAME reads them; where a system runs that may go: rackflow power off NAME, "
            "then ask again.",
        ),
        Reason(
            "no-matching-disk",
            "A device rule matches no disk.",
            "rackflow host NAME lists its disks; mend the rule, then rackflow spec publish.",
        ),
        Reason(
            "ambiguous-disk",
            "A device rule matches more than one disk.",
            "rackflow host NAME lists its disks; name one by serial or WWN, then rackflow spec publish.",
        ),
        Reason(
            "root-disk-changed",
            "The rule for the root disk now gives another disk than the one that the host was installed on.",
            "rackflow host NAME lists its disks; name the one meant by serial or WWN in rootDevice, "
            "then rackflow spec publish.",
        ),
        Reason(
            "not-enough-drives",
            "A RAID volume asks for more drives than fit.",
            "rackflow host NAME lists its disks; mend the rule, then rackflow spec publish.",
        ),
        Reason(
            "tool-missing",
            "A RAID controller's tool is not in the boot OS, so its drives are not known.",
            "Put the tool into bootos/vendor and rackflow bootos build; or name another controller.",
        ),
        Reason(
            "no-matching-nic",
            "A network rule matches no NIC, or more than one.",
            "rackflow host NAME lists its NICs; mend the rule, then rackflow spec publish.",
        ),
        Reason("no-address", "No address is allocated from a pool.", "rackflow spec publish"),
        Reason(
            "unsupported",
            "The spec asks for something that this version does not do.",
            "Leave it out of the spec, or choose another way, then rackflow spec publish.",
        ),
        Reason(
            "image-missing",
            "The image is not in the store.",
            "rackflow image add IMAGE, then rackflow apply NAME.",
        ),
        Reason(
            "image-mismatch",
            "The image is not the one that the spec names.",
            "rackflow image add IMAGE with the file that its document names, then rackflow apply NAME.",
        ),
        Reason(
            "image-unfit",
            "The image cannot boot this machine.",
            "Compare os.bootModes of the Image with the firmware that rackflow host NAME shows.",
        ),
        Reason(
            "layout-impossible",
            "The partitions do not fit the disk.",
            "rackflow host NAME lists its disks; make the partitions smaller, then rackflow spec publish.",
        ),
        Reason(
            "wipe-impossible",
            "A disk can't be erased by the method asked for: it has no such way, or is frozen or locked.",
            "rackflow host NAME lists its disks; cut the power of a frozen one for a moment, unlock a "
            "locked one, or choose wipe: overwrite.",
        ),
        Reason(
            "tpm2-missing",
            "The spec asks for a TPM 2.0 that the machine does not show, or that does not keep a key.",
            "rackflow inspect NAME reads it; switch it on or clear it in the firmware's setup, or set "
            "luks.tpm2 to prefer or off.",
        ),
        Reason(
            "destroy-never",
            "The spec forbids destroying.",
            "Set lifecycle.destroy to ask or allow, then rackflow spec publish.",
        ),
        Reason(
            "person-needed",
            "A program asked for what only a person may: erasing the disks of a running host.",
            "rackflow wipe NAME",
        ),
        Reason("waiting-consent", "The plan destroys data and waits for consent.", "rackflow approve NAME"),
        Reason(
            "foreign-content",
            "A disk holds content that this host's install record does not list.",
            "rackflow approve NAME",
        ),
        Reason(
            "plan-moved",
            "The machine is not as the plan left it.",
            "rackflow plan NAME --refresh shows what is there now, then rackflow apply NAME.",
        ),
        Reason(
            "lease-lost",
            "Another run holds the host.",
            "rackflow host NAME shows who holds it; rackflow apply NAME once it is free.",
        ),
        Reason(
            "step-failed",
            "A step failed.",
            "rackflow host NAME links the run with the step's output; then rackflow apply NAME.",
        ),
        Reason(
            "verify-failed",
            "The deployed system is not what the spec asks for.",
            "rackflow plan NAME --refresh shows what differs, then rackflow apply NAME.",
        ),
        Reason(
            "drive-failed",
            "A drive of a RAID volume has failed, is missing or is about to fail.",
            "rackflow host NAME tells its slot and serial; replace it, then rackflow plan NAME --refresh.",
        ),
        Reason(
            "raid-degraded",
            "A RAID volume lacks redundancy.",
            "rackflow plan NAME --refresh shows how far its rebuild is; a rebuild needs nothing else.",
        ),
        Reason(
            "raid-unknown",
            "A RAID volume can't be read, because its controller's tool is not there or was not understood.",
            "Put the tool into the system that runs, then rackflow plan NAME --refresh; where none runs, "
            "rackflow inspect NAME reads it from the boot OS. docs/raid.md tells which tools there are.",
        ),
        Reason("drift", "The machine differs from its spec.", "rackflow plan NAME shows what apply repairs."),
        Reason(
            "secret-missing",
            "A named secret is not set.",
            "rackflow secret set SECRET, then rackflow apply NAME.",
        ),
        Reason("job-crashed", "The job's run ended without an outcome.", "rackflow apply NAME"),
        Reason("cancelled", "An operator cancelled the job.", "rackflow apply NAME"),
        Reason(
            "runs-lost",
            "Six runs of the job were lost, one after the other, and none finished a step.",
            "rackflow why NAME --history 200 shows how they ended; then rackflow apply NAME.",
        ),
        Reason(
            "phase-deadline",
            "The phase took longer than it may.",
            "rackflow why NAME --history 200 shows what it waited for; then rackflow apply NAME.",
        ),
        Reason("consent-expired", "Nobody consented within seven days.", "rackflow apply NAME asks anew."),
        Reason("consent-refused", "A person refused the plan.", "Change the spec, or rackflow apply NAME."),
        Reason("released", "An operator took the host from its run.", "rackflow apply NAME"),
        Reason(
            "identity-unproven",
            "The machine did not prove that it is this host, so it gets no secret and is not wiped.",
            "Compare rackflow host NAME with the machine in the rack, then rackflow inspect NAME.",
        ),
        Reason(
            "boot-os-lost",
            "The boot OS went away, and the machine may not be power-cycled without a command.",
            "rackflow power cycle NAME",
        ),
    )
}


def next_step(code: str | None, verb: str) -> str | None:
    """What to do about a code that a job of this verb ended with: a wipe is asked for again as a wipe."""
    known = REASONS.get(code or "")
    if known is None or verb != "wipe":
        return known.next_step if known else None
    again = known.next_step.replace("rackflow apply NAME", "rackflow wipe NAME")
    return again.replace("rackflow plan NAME --refresh", "rackflow plan NAME --wipe --refresh")
