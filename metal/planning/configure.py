"""Steps that make the deployed system what the spec asks for: the same in boot OS and running OS."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from metal.planning.disks import Refusal
from metal.planning.plan import Step, StepKind
from metal.planning.wish import Wish

Where = Literal["boot-os", "running-os"]

ADJUSTABLE: tuple[StepKind, ...] = ("hostname", "network", "users", "files", "management")
"""Kinds that repair in place, in the order in which they run."""


def configure(
    wish: Wish, kinds: frozenset[StepKind], where: Where, seen: Mapping[str, tuple[str, str]] | None = None
) -> Iterator[Step]:
    """One step per kind asked for. `seen` gives (old, new) of a repair for the plan's diff."""
    for kind in ADJUSTABLE:
        if kind not in kinds:
            continue
        args = _args(kind, wish)
        refusal = wish.refusals.get(kind)
        if args is None and refusal is None:
            continue
        old, new = (seen or {}).get(kind, (None, _told(kind, wish)))
        yield Step(
            id=kind,
            kind=kind,
            field=kind,
            old=old,
            new=new,
            reason=refusal.message if refusal else _why(where),
            minutes=0.1,
            blocked_by=refusal.reason if refusal else None,
            where=where,
            args=args or {},
        )


def _why(where: Where) -> str:
    return "as the spec asks" if where == "boot-os" else "the running system differs from the spec"


def _args(kind: StepKind, wish: Wish) -> dict[str, Any] | None:
    if kind == "hostname":
        return {"hostname": wish.hostname}
    if kind == "network":
        if wish.network is None or isinstance(wish.network, Refusal):
            return None
        addresses = {name: list(held) for name, held in wish.network.addresses.items()}
        return {"files": dict(wish.network.files), "addresses": addresses}
    if kind == "users":
        return {"users": [dict(user) for user in wish.users]} if wish.users else None
    if kind == "files":
        return {"files": [dict(file) for file in wish.files]} if wish.files else None
    return {"public_key": wish.management_key} if wish.management_key else None


def _told(kind: StepKind, wish: Wish) -> str:
    """What will be there, in a few words for a table."""
    if kind == "hostname":
        return wish.hostname
    if kind == "network" and wish.network is not None and not isinstance(wish.network, Refusal):
        held = [f"{name} {', '.join(addresses)}" for name, addresses in wish.network.addresses.items()]
        return "; ".join(held) or "no static address"
    if kind == "users":
        return ", ".join(str(user["name"]) for user in wish.users)
    if kind == "files":
        return ", ".join(str(file["path"]) for file in wish.files)
    return "user rackflow with the site's key" if kind == "management" else ""
