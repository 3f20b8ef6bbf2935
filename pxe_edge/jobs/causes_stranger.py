"""Causes for what is no host: a MAC that asked for a boot or an address, another DHCP server. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from pxe_edge.jobs.causes import Cause, Facts, Ignored, Refused, Rule, clock, decide, if_, since
from pxe_edge.jobs.causes_silence import OtherServer, newest, words
from specs.reasons import REASONS

_AWAITED_SHOWN: Final = 3
_HELD: Final = ("discovery-off", "awaiting-approval")


@dataclass(frozen=True, slots=True)
class Stranger:
    """What the edge knows of a MAC or an address."""

    now: datetime
    mac: str
    count: int = 0
    """Boot requests; 0 for a machine that has only asked for an address."""
    answer: str | None = None
    """What the last request got: a reason code, a loader, a script."""
    last_at: datetime | None = None
    refused: tuple[Refused, ...] = ()
    address: str | None = None
    leased_at: datetime | None = None
    leased_until: datetime | None = None
    ignored: tuple[Ignored, ...] = ()
    awaited: tuple[str, ...] = ()
    """Hosts and specs that are known by their serial alone: this machine may be one of them."""
    server: OtherServer | None = None
    """It is a DHCP server."""

    @property
    def silence(self) -> Ignored | None:
        """The newest silence, unless it got an answer since."""
        answered = [at for at in (self.last_at, self.leased_at) if at is not None]
        return newest(self.ignored, after=max(answered, default=None))

    @property
    def reason(self) -> str | None:
        """The reason code on record: of the newest silence, else of the last boot request."""
        return self.silence.reason if self.silence is not None else self.answer


def _known(s: Stranger) -> Facts | None:
    known = REASONS.get(s.answer or "")
    if known is None:
        return None
    return {"sentence": known.sentence.rstrip("."), "step": known.next_step.replace("MAC", s.mac)}


def _silent(s: Stranger) -> Facts | None:
    return words(s.silence, mac=s.mac, now=s.now) if s.silence is not None else None


def _perhaps_awaited(s: Stranger) -> Facts | None:
    if not s.awaited or s.reason not in _HELD:
        return None
    more = len(s.awaited) - _AWAITED_SHOWN
    names = ", ".join(s.awaited[:_AWAITED_SHOWN]) + (f" and {more} more" if more > 0 else "")
    verb = "are" if len(s.awaited) > 1 else "is"
    whose = "their serials" if len(s.awaited) > 1 else "its serial"
    return {"held": REASONS[s.reason].sentence.rstrip("."), "names": f"{names} {verb} known by {whose}"}


def _refused(s: Stranger) -> Facts | None:
    return {"text": s.refused[-1].text, "refused_at": clock(s.refused[-1].at, s.now)} if s.refused else None


def _server(s: Stranger, *, expected: bool) -> Facts | None:
    server = s.server
    if server is None or server.expected != expected:
        return None
    return {
        "server": f"{server.address}{f' ({server.mac})' if server.mac else ''}",
        "link": f"{server.network or 'no network of the Site'} ({server.interface})",
        "seen": f"{server.count} packets, last at {since(server.last_at, s.now)}",
    }


STRANGER_RULES: Final[tuple[Rule[Stranger], ...]] = (
    Rule(
        "foreign-server",
        "a DHCP server that must not be there",
        lambda s: _server(s, expected=False),
        "{server} is a DHCP server on {link} that is not ours: {seen}.",
        "Find and stop it, or set mode: proxy for that network; then rackflow spec publish",
    ),
    Rule(
        "server-beside",
        "the DHCP server beside which a network's mode is proxy",
        lambda s: _server(s, expected=True),
        "{server} is the DHCP server of {link}, whose mode is proxy: {seen}.",
        "Nothing to do",
    ),
    Rule(
        "stranger-refused",
        "an unknown machine's report-in was refused",
        _refused,
        "It booted the boot OS and was refused at {refused_at}: {text}.",
        "Compare its identities with rackflow hosts; then start it anew",
    ),
    Rule(
        "stranger-perhaps-awaited",
        "an unknown machine is held, and hosts are awaited by their serials alone",
        _perhaps_awaited,
        "{held}; {names} alone, which no DHCP request carries, and this may be one of them.",
        "If it is: rackflow host approve {mac} --as {first}; if it is new: rackflow host approve {mac}",
    ),
    Rule(
        "stranger-unanswered",
        "the newest packets of a machine got no answer",
        _silent,
        "{why}: {seen}.",
        "{step}",
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
        "first": s.awaited[0] if s.awaited else "NAME",
    }
    cause = decide(STRANGER_RULES, s, facts)
    assert cause is not None, "the last rule holds always"
    return replace(cause, reason=s.reason)
