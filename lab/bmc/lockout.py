"""Lockout of accounts after failed logins, as BMCs have it (IPMI 2.0 table 23-4, LAN parameter 26).

A login has failed unless it came to a proof. Most clients see by RAKP 2 that the password is wrong and hang
up without a word, so the BMC counts what it began: a wrong password can't pass as a login that was given up.
Off unless the rack file sets it; the counts are kept in any case, so that a test can show that a client
never came near a lockout.
"""

from dataclasses import asdict, dataclass, field

from lab.definition import LockoutRule


@dataclass
class Account:
    """What happened to one user slot since the BMC process began; a login under way counts as failed."""

    logins: int = 0
    failed: int = 0
    in_a_row: int = 0
    lockouts: int = 0
    locked_until_s: float = 0.0


@dataclass
class Lockout:
    """Counts of all slots; time is the caller's."""

    rule: LockoutRule | None = None
    accounts: dict[int, Account] = field(default_factory=dict)

    def locked(self, slot: int, now_s: float) -> bool:
        """Whether a slot may not log in now; the failed login that is one too many locks it here."""
        account = self.accounts.get(slot)
        if account is None:
            return False
        if self.rule is not None and account.in_a_row >= self.rule.threshold:
            account.in_a_row = 0
            account.lockouts += 1
            account.locked_until_s = now_s + self.rule.seconds
        return now_s < account.locked_until_s

    def begun(self, slot: int) -> None:
        """The BMC has answered RAKP 1: a login as this user is under way."""
        account = self.accounts.setdefault(slot, Account())
        account.failed += 1
        account.in_a_row += 1

    def proven(self, slot: int) -> None:
        """The login under way knew the password."""
        account = self.accounts.setdefault(slot, Account())
        account.logins += 1
        account.failed -= 1
        account.in_a_row = 0

    def forget(self) -> None:
        """As delivered."""
        self.accounts.clear()

    def report(self, now_s: float) -> dict[int, dict[str, float]]:
        """Counts per slot, and how long it is still locked."""
        report = {}
        for slot, account in self.accounts.items():
            self.locked(slot, now_s)
            row = asdict(account)
            row["locked_for_s"] = max(0.0, row.pop("locked_until_s") - now_s)
            report[slot] = row
        return report
