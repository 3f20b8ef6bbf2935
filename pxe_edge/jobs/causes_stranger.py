"""Causes for a machine that is no host yet: a MAC that asked for a boot, or only for an address. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pxe_edge.jobs.causes import Cause, Facts, Refused, Rule, clock, decide, if_, since
from specs.reasons import REASONS


@dataclass(frozen=True, slots=True)
class Stranger:
    """What the edge knows of a MAC."""

    now: datetime
    mac: str
    count: int = 0
    """Boot requests; 0 for a machine that has only asked for an address."""
    answer: str | None = None
    """What the last request got: a reason code, a loader, a script."""
    last_at: datetime | None = None
    refused: tuple[Refused, ...] = ()
    address: str | None = None
    leased_until: datetime | None = None


def _known(s: Stranger) -> Facts | None:
    known = REASONS.get(s.answer or "")
    if known is None:
        return None
    return {"sentence": known.sentence.rstrip("."), "step": known.next_step.replace("MAC", s.mac)}


def _refused(s: Stranger) -> Facts | None:
    return {"text": s.refused[-1].text, "refused_at": clock(s.refused[-1].at, s.now)} if s.refused else None


STRANGER_RULES: Final[tuple[Rule[Stranger], ...]] = (
    Rule(
        "stranger-refused",
        "an unknown machine's report-in was refused",
        _refused,
        "It booted the boot OS and was refused at {refused_at}: {text}.",
        "Compare its identities with rackflow hosts; then start it anew",
    ),
    Rule(
        "stranger-no-loader",
        "an unknown machine of an architecture without a loader",
        if_(lambda s: s.answer == "no-loader"),
        "It asked {times} and got: no-loader; there is none for its architecture.",
        "Let its firmware boot as BIOS or UEFI x86-64",
    ),
    Rule(
        "stranger-no-address",
        "an unknown machine that got no address",
        if_(lambda s: s.answer in ("pool-exhausted", "no-reservation")),
        "It asked {times} and got no address: {answer}.",
        "Widen the network's pool in the Site, or give it a reservation; then rackflow spec publish",
    ),
    Rule(
        "stranger-known-reason",
        "an unknown machine that was answered with a reason code",
        _known,
        "{sentence}.",
        "{step}",
    ),
    Rule(
        "stranger-booting",
        "an unknown machine was given a boot and has not reported in",
        if_(lambda s: s.count > 0),
        "It asked {times}, last at {last}, and got: {answer}; it has not reported in.",
        "Look at its screen; if it hangs: rackflow host approve {mac}, and start it anew",
    ),
    Rule(
        "stranger-no-boot",
        "a machine that asked for an address only",
        if_(lambda _: True),
        "It has the address {address} until {until}, and has never asked for a boot.",
        "Put network boot first in its firmware's boot order, or: rackflow host add {made_up} --mac {mac}",
    ),
)


def explain_stranger(s: Stranger) -> Cause:
    """The cause of a stranger's situation."""
    facts = {
        "mac": s.mac,
        "made_up": f"mac-{s.mac.replace(':', '')}",
        "times": f"{s.count} time{'' if s.count == 1 else 's'}",
        "answer": s.answer or "nothing",
        "last": since(s.last_at, s.now) if s.last_at else "an unknown time",
        "address": s.address or "none",
        "until": clock(s.leased_until, s.now) if s.leased_until else "an unknown time",
    }
    cause = decide(STRANGER_RULES, s, facts)
    assert cause is not None, "the last rule holds always"
    return cause
