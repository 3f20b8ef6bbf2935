"""Which BMC logins may be made, so that no account is locked: pure rules over the logins that runs told of.

A BMC locks an account after a few wrong passwords, three at the least, for minutes. It counts a login of
which we know nothing (the run died between the attempt and its outcome) like any other, so we do too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Result = Literal["trying", "refused", "silent", "accepted"]

MOST_WRONG = 2
"""Wrong logins that may be made before a right one."""
LOCKOUT = timedelta(minutes=15)
"""Longer than BMCs count or lock: IPMI leaves it to the maker, and minutes are usual."""


@dataclass(frozen=True, slots=True)
class Login:
    """What a run told of one login; `fresh` when it had just set this password in band."""

    at: datetime
    credential: int
    result: Result
    fresh: bool = False


def wrong(logins: Sequence[Login], *, since: datetime) -> list[Login]:
    """The logins that the BMC may count as wrong: refused, or begun without an outcome."""
    found: list[Login] = []
    begun: dict[int, Login] = {}
    for login in logins:
        if login.result == "accepted":
            found, begun = [], {}
            continue
        if login.result == "trying":
            if login.credential in begun:
                found.append(begun[login.credential])
            begun[login.credential] = login
            continue
        begun.pop(login.credential, None)
        if login.result == "refused":
            found.append(login)
    return [login for login in (*found, *begun.values()) if login.at > since]


def may_set_at(logins: Sequence[Login], *, since: datetime) -> datetime | None:
    """When a new password may be set and tried; None for now.

    A password that is refused although it was just set means another BMC at the address, or a locked account.
    """
    counted = wrong(logins, since=since)
    fresh = [login for login in counted if login.fresh and login.result == "refused"]
    if not fresh or len(counted) < MOST_WRONG:
        return None
    return max(login.at for login in counted) + LOCKOUT
