"""Causes of a machine that is to come up and has not: what it asked, what it was told, what its console says.

One analysis for three situations: a job waits for a boot, a registered machine has never reported in,
and a job failed because a boot did not come. Refusals stand first, since a refused machine is up and
well and will never get further; then the console, then the last request.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from pxe_edge.jobs import causes_serial
from pxe_edge.jobs.causes import Asked, Facts, Ignored, Rule, Situation, age_s, clock, since
from pxe_edge.jobs.causes_silence import newest, words
from specs.phases import Phase
from specs.records import WaitEvent

SETTLE_S: Final = 45
"""A loader, a kernel, a reboot take their time: only after this long is a silence told as one."""
CONSOLE_S: Final = 30
"""So long the console may still show what was there before the machine was started anew."""
_LATE: Final = {"boot-os-timeout": "boot-os", "os-timeout": "os"}
_UNREAD: Final = frozenset({Phase.REGISTERED, Phase.INSPECTING})


def expected(s: Situation) -> tuple[WaitEvent, datetime] | None:
    """Which boot is expected, and since when; None when none is."""
    if s.job is not None:
        waits = s.job.wait if s.job.state == "waiting" else None
        return (waits.event, waits.since) if waits else None
    late = _LATE.get(s.reason or "")
    if late is not None:
        began = s.ended.created_at if s.ended else s.phase_since
        return ("boot-os" if late == "boot-os" else "os"), began
    if s.host.phase in _UNREAD and s.reason is None and s.host.boot is None:
        return "boot-os", s.phase_since
    return None


def _waiting(s: Situation) -> str:
    """The beginning of every sentence here: who waits for what, since when, until when."""
    what = expected(s)
    assert what is not None
    event = {"boot-os": "the boot OS", "os": "the installed system", "bmc": "the BMC"}[what[0]]
    if s.job is not None and s.job.wait is not None:
        wait = s.job.wait
        told = wait.message if wait.message.startswith("waits for ") else f"waits for {event}: {wait.message}"
        began, looks = since(wait.since, s.now), clock(wait.deadline, s.now)
        return f"job {s.job.no} ({s.job.verb}) {told} (since {began}, next look at {looks})"
    if s.reason is not None:
        no = f"job {s.ended.no} ({s.ended.verb})" if s.ended else "its job"
        return f"{s.host.phase}: {event} did not come up in time for {no}"
    return f"{s.host.phase} since {since(s.phase_since, s.now)}, and has not reported in"


def _facts(s: Situation, **more: str) -> Facts:
    return {"waits": _waiting(s), **more}


def _too_late(s: Situation) -> bool:
    """The boot was waited for in vain; what is there now is what there will be."""
    return s.job is None and s.reason in _LATE


def _expects(event: WaitEvent) -> Callable[[Situation], bool]:
    return lambda s: (what := expected(s)) is not None and what[0] == event


def _refused(event: WaitEvent, word: str) -> Callable[[Situation], Facts | None]:
    def holds(s: Situation) -> Facts | None:
        what = expected(s)
        if what is None or what[0] != event:
            return None
        late = [one for one in s.refused if one.at >= what[1] and word in one.text]
        return _facts(s, at=clock(late[-1].at, s.now), text=late[-1].text) if late else None

    return holds


def _console(code: str, *events: WaitEvent) -> Callable[[Situation], Facts | None]:
    """The console ends with this sign while one of these boots is expected."""

    def holds(s: Situation) -> Facts | None:
        what = expected(s)
        if what is None or s.console is None or (events and what[0] not in events) or what[0] == "bmc":
            return None
        if not _too_late(s) and age_s(what[1], s.now) < CONSOLE_S:
            return None
        found = causes_serial.read(s.console.lines)
        if found is None or found[0].code != code:
            return None
        return _facts(s, line=found[1].rstrip(". "), boot=str(s.console.boot_no))

    return holds


def _asked_since(s: Situation) -> tuple[Asked, ...]:
    what = expected(s)
    return tuple(one for one in s.asked if what and one.at >= what[1] - timedelta(seconds=1))


def _last(s: Situation, test: Callable[[Asked], bool], *, quiet_s: float = 0) -> Facts | None:
    """The newest request since the wait began, if it passes the test and is so old."""
    if not _expects("boot-os")(s):
        return None
    asked = _asked_since(s)
    if not asked or not test(asked[-1]) or age_s(asked[-1].at, s.now) < quiet_s:
        return None
    newest = asked[-1]
    answer = " ".join(f"{key}={value}" for key, value in newest.answer.items())
    return _facts(s, at=since(newest.at, s.now), boot=newest.boot, answer=answer, client=newest.client)


def _unanswered(s: Situation) -> Facts | None:
    """The newest packet of the machine got no answer, or a NAK."""
    what = expected(s)
    if what is None or what[0] != "boot-os":
        return None
    asked = _asked_since(s)
    last = asked[-1] if asked else None
    mac = s.host.macs[0] if s.host.macs else s.host.name
    silence = newest(s.ignored, after=max(what[1], last.at) if last else what[1])
    if silence is not None:
        return _facts(s, **words(silence, mac=mac, now=s.now))
    if last is None or last.via != "dhcp" or last.answer.get("answer") not in ("none", "NAK"):
        return None
    # What the packet plane noticed is lost at its restart; the timeline still has the newest answer.
    reason = last.answer.get("reason") or "address-refused"
    return _facts(
        s, **words(Ignored(last.at, reason, network=last.answer.get("network")), mac=mac, now=s.now)
    )


def _known_by_serial(s: Situation) -> Facts | None:
    alone = s.host.serial is not None and s.host.uuid is None and not s.host.macs
    return _never_asked(s) if alone and s.discovery in ("off", "hold") else None


def _never_asked(s: Situation) -> Facts | None:
    what = expected(s)
    if what is None or what[0] != "boot-os" or _asked_since(s) or age_s(what[1], s.now) < SETTLE_S:
        return None
    return _facts(s)


def _unreachable_bmc(s: Situation) -> bool:
    return s.host.bmc_address is None


def _never_asked_without_bmc(s: Situation) -> Facts | None:
    return _never_asked(s) if _unreachable_bmc(s) else None


def _reported(s: Situation) -> Facts | None:
    """A boot that was given and has not reported in."""
    return _last(s, lambda one: one.via == "http" and one.answer.get("answer") == "script", quiet_s=SETTLE_S)


def _os_never_seen(s: Situation) -> Facts | None:
    if not _expects("os")(s):
        return None
    last = (
        f'its console ends with "{s.console.last}"'
        if s.console and s.console.last
        else "its console is empty"
    )
    asked = _asked_since(s)
    if asked:
        last = f"it asked for a network boot at {clock(asked[-1].at, s.now)}; {last}"
    return _facts(s, last=last)


_LOOK: Final = "rackflow console {name}"
_AGAIN: Final = "{cycle}"

BOOT_RULES: Final[tuple[Rule[Situation], ...]] = (
    Rule(
        "report-in-refused",
        "the machine that came up is not the host that was expected",
        _refused("boot-os", "report-in"),
        "{waits}; the machine reported in at {at} and was refused: {text}.",
        "Compare rackflow host {name} with the machine in the rack, then boot the right one",
    ),
    Rule(
        "phone-home-refused",
        "the installed system showed another host key than the installer's",
        _refused("os", "phone-home"),
        "{waits}; at {at} {text}.",
        "Compare rackflow host {name} with the machine; rackflow cancel {name} ends the wait",
    ),
    Rule(
        "no-dhcp-answer",
        "the machine asked for an address and got none",
        _unanswered,
        "{waits}; it asked and got no address. {why}: {seen}.",
        "{step}",
    ),
    Rule(
        "boot-os-missing",
        "a boot OS is due and none is built",
        lambda s: _facts(s) if _expects("boot-os")(s) and not s.boot_os_built else None,
        "{waits}; no boot OS is built, so nothing can be booted.",
        "rackflow bootos build",
    ),
    Rule(
        "kernel-panic",
        "the serial log ends with a kernel panic",
        _console("kernel-panic"),
        '{waits}; the kernel panicked: "{line}" (serial log of boot {boot}).',
        _LOOK,
    ),
    Rule(
        "no-bootable-device",
        "the firmware says that it finds nothing to boot",
        _console("no-bootable-device"),
        '{waits}; the firmware finds nothing to boot: "{line}".',
        "Put network boot and the system disk into the firmware's boot order, then: " + _AGAIN,
    ),
    Rule(
        "boot-loader-stuck",
        "GRUB stopped at its prompt",
        _console("boot-loader-stuck"),
        '{waits}; GRUB does not find its system: "{line}".',
        _LOOK,
    ),
    Rule(
        "network-boot-failed",
        "PXE or iPXE says that it failed",
        _console("network-boot-failed"),
        '{waits}; the network boot failed: "{line}".',
        "rackflow doctor fetches what is served by TFTP and HTTP, and says what differs; then " + _AGAIN,
    ),
    Rule(
        "emergency-shell",
        "the system stopped in an emergency or initramfs shell",
        _console("emergency-shell"),
        '{waits}; the system stopped in an emergency shell: "{line}".',
        _LOOK,
    ),
    Rule(
        "boot-os-refused",
        "the boot OS says that its report-in was refused",
        _console("report-in-refused", "boot-os"),
        '{waits}; the boot OS says: "{line}".',
        "Compare rackflow host {name} with the machine, then: " + _AGAIN,
    ),
    Rule(
        "boot-os-no-network",
        "the boot OS is up and does not reach the edge",
        _console("boot-os-no-network", "boot-os"),
        '{waits}; the boot OS is up and does not reach the edge: "{line}".',
        "Check cable, VLAN and firewall to the edge's port 8080; the boot OS asks on by itself",
    ),
    Rule(
        "boot-os-stopped",
        "the boot OS could not start its work",
        _console("boot-os-stopped", "boot-os"),
        '{waits}; the boot OS could not start its work: "{line}".',
        _AGAIN,
    ),
    Rule(
        "out-of-memory",
        "the machine has too little memory for what it boots",
        _console("out-of-memory"),
        '{waits}; it ran out of memory: "{line}".',
        "The boot OS needs 512 MiB: check the memory, then " + _AGAIN,
    ),
    Rule(
        "booted-disk",
        "a login prompt where the boot OS is expected",
        _console("login-prompt", "boot-os"),
        '{waits}; its console shows a login prompt ("{line}"): it started from its disk.',
        "Put network boot first in its firmware's boot order, then: " + _AGAIN,
    ),
    Rule(
        "no-phone-home",
        "a login prompt, and no phone-home",
        _console("login-prompt", "os"),
        '{waits}; the system is up ("{line}") and has not phoned home: it does not reach the edge.',
        "Check the spec's network and routes (rackflow plan {name}), and look inside: " + _LOOK,
    ),
    Rule(
        "disk-errors",
        "the serial log ends with I/O errors",
        _console("disk-errors"),
        '{waits}; a disk gives I/O errors: "{line}".',
        "rackflow cancel {name}, replace the disk or name another in the spec, then rackflow apply {name}",
    ),
    Rule(
        "no-loader",
        "no loader for the machine's architecture",
        lambda s: _last(s, lambda one: "no-loader" in (one.boot, one.answer.get("reason"))),
        "{waits}; it asked at {at}, and there is no loader for its architecture ({answer}).",
        "Let its firmware boot as BIOS or UEFI x86-64, or install it by another way",
    ),
    Rule(
        "boot-os-foreign",
        "the boot OS is built for another architecture",
        lambda s: _last(s, lambda one: one.answer.get("reason") == "no-boot-os-for-it"),
        "{waits}; it asked for its boot script at {at}; the boot OS is not for its processors ({answer}).",
        "Let its firmware boot as BIOS or UEFI x86-64, or install it by another way",
    ),
    Rule(
        "no-seed-given",
        "the boot script had nothing to boot",
        lambda s: _last(s, lambda one: one.via == "http" and one.answer.get("answer") == "none"),
        "{waits}; it asked for its boot script at {at} and got none ({answer}).",
        "rackflow host {name} shows phase and job; with a boot due: " + _AGAIN,
    ),
    Rule(
        "no-report-in",
        "the boot OS was given and has not reported in",
        _reported,
        "{waits}; it fetched its boot script at {at} ({answer}) and has not reported in.",
        _LOOK,
    ),
    Rule(
        "loader-silent",
        "a loader was offered and nothing came after it",
        lambda s: _last(s, lambda one: one.via == "dhcp" and bool(one.boot), quiet_s=SETTLE_S),
        "{waits}; at {at} it was told to boot {boot} and has not come back: that did not arrive, or hangs.",
        "rackflow doctor, from the machine's network where possible; then " + _AGAIN,
    ),
    Rule(
        "known-by-serial",
        "a host that is known by its serial alone, where strangers are held",
        _known_by_serial,
        "{waits}; only its serial is known, which no DHCP request carries (but in Dell's and HPE's UUIDs).",
        "Find it in rackflow sightings, then: rackflow host approve MAC --as {name}",
    ),
    Rule(
        "not-asked-no-bmc",
        "the machine is silent, and nobody can switch it",
        _never_asked_without_bmc,
        "{waits}; it has not asked for a boot since, and no BMC of it is known.",
        "Switch {name} on by hand, with network boot first",
    ),
    Rule(
        "not-asked",
        "the machine is silent",
        _never_asked,
        "{waits}; it has not asked for a boot since.",
        "Look at it: rackflow console {name}; with network boot first in its firmware: {cycle}",
    ),
    Rule(
        "os-silent",
        "the installed system has not phoned home, and nothing says why",
        _os_never_seen,
        "{waits}; {last}.",
        _LOOK,
    ),
    Rule(
        "bmc-away",
        "a job waits for a BMC that is gone",
        lambda s: _facts(s, locked=_locked(s)) if _expects("bmc")(s) else None,
        "{waits}; the BMC at {bmc} does not answer{locked}.",
        "Check its cable and the route to {bmc} from the worker; rackflow cancel {name} ends the wait",
    ),
    Rule(
        "boot-begins",
        "a boot is on its way",
        lambda s: _facts(s) if _expects("boot-os")(s) and not _too_late(s) else None,
        "{waits}; it is on its way.",
        _LOOK,
    ),
)


def _locked(s: Situation) -> str:
    return f"; {s.bmc_locked_by} holds its lock" if s.bmc_locked_by else ""
