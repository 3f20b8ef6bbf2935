"""Words for packets that got no answer, and for other DHCP servers. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pxe_edge.jobs.causes import Facts, Ignored, counted, since
from pxe_edge.policy.silences import explain_silence

_SAME_MOMENT: Final = timedelta(seconds=1)
"""Requests and silences are noted by two clocks; what lies within a second is one packet."""
_UNSAID: Final = ("giaddr=0.0.0.0", "giaddr=None")


@dataclass(frozen=True, slots=True)
class OtherServer:
    """A DHCP server on a link of ours that is not ours."""

    address: str
    mac: str | None
    interface: str
    network: str | None
    expected: bool
    count: int
    last_at: datetime


def newest(ignored: Iterable[Ignored], *, after: datetime | None) -> Ignored | None:
    """The newest silence, unless something was answered after it."""
    late = [one for one in ignored if after is None or one.at >= after - _SAME_MOMENT]
    return max(late, key=lambda one: one.at, default=None)


def words(one: Ignored, *, mac: str, now: datetime) -> Facts:
    """`why`, `step` and `seen` of a silence: reason, what to do, how often and where it was seen."""
    said = explain_silence(one.reason)
    pairs = dict(pair.split("=", 1) for pair in one.detail.split() if "=" in pair and pair not in _UNSAID)
    step = said.next_step.replace("MAC", mac)
    for place in ("INTERFACE", "ADDRESS"):
        step = step.replace(place, pairs.get(place.lower(), place))
    told = [f"{key} {value}" for key, value in pairs.items()]
    where = ", ".join([*([one.network] if one.network else []), *told])
    packets = counted(one.count, "packet") + (f" ({where})" if where else "")
    return {
        "why": f"{said.sentence.rstrip('.')} ({one.reason})",
        "step": step,
        "seen": f"{packets}, last at {since(one.at, now)}",
    }
