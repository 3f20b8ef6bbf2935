"""Lockout of accounts after wrong passwords, as BMCs have it (IPMI 2.0 table 23-4, LAN parameter 26).

Off unless the rack file sets it; the counts are kept in any case, so that a test can show that a client never
came near a lockout.
"""

from dataclasses import asdict, dataclass, field

from lab.definition import LockoutRule


@dataclass
class Account:
    """What happened to one user slot since the BMC process began."""

    wrong_passwords: int = 0
    in_a_row: int = 0
    lockouts: int = 0
    locked_until_s: float = 0.0


@dataclass
class Lockout:
    """Counts of all slots; time is the caller's."""

    rule: LockoutRule | None = None
    accounts: dict[int, Account] = field(default_factory=dict)

    def locked(self, slot: int, now_s: float) -> bool:
        """Whether a slot may not log in now."""
        account = self.accounts.get(slot)
        return account is not None and now_s < account.locked_until_s

    def wrong(self, slot: int, now_s: float) -> bool:
        """A wrong password; whether it locked the slot."""
        account = self.accounts.setdefault(slot, Account())
        account.wrong_passwords += 1
        account.in_a_row += 1
        if self.rule is None or account.in_a_row < self.rule.threshold:
            return False
        account.in_a_row = 0
        account.lockouts += 1
        account.locked_until_s = now_s + self.rule.seconds
        return True

    def right(self, slot: int) -> None:
        """A login ends the row of wrong ones."""
        if account := self.accounts.get(slot):
            account.in_a_row = 0

    def report(self, now_s: float) -> dict[int, dict[str, float]]:
        """Counts per slot, and how long it is still locked."""
        report = {}
        for slot, account in self.accounts.items():
            row = asdict(account)
            row["locked_for_s"] = max(0.0, row.pop("locked_until_s") - now_s)
            report[slot] = row
        return report
