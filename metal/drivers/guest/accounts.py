"""Accounts: the spec's users and the site's management user."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from metal.drivers.guest.document import Account, Copy, Document, GuestFile
from metal.drivers.guest.facts import MANAGEMENT_USER, RF_EXEC, SUDO_RULE, Secrets
from metal.drivers.guest.sha512_crypt import make_hash
from metal.errors import Refused
from specs.facts import SystemFacts, UserFact


@dataclass(frozen=True, slots=True)
class UserWish:
    """One user of a step; `password` is a secret's reference, None leaves the password alone."""

    name: str
    ssh_keys: tuple[str, ...] = ()
    sudo: bool = False
    shell: str = "/bin/bash"
    password: str | None = None

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> "UserWish":
        """Take a step's user."""
        return cls(
            name=str(value["name"]),
            ssh_keys=tuple(value.get("ssh_keys") or ()),
            sudo=bool(value.get("sudo")),
            shell=str(value.get("shell") or "/bin/bash"),
            password=value.get("password"),
        )


def sudoers_path(name: str) -> str:
    """Give the rule's file."""
    return f"/etc/sudoers.d/rackflow-{name}"


def differences(facts: SystemFacts, wishes: tuple[UserWish, ...]) -> tuple[str, ...]:
    """Say what differs, user by user; a password only as "another"."""
    by_name = {user.name: user for user in facts.users}
    return tuple(line for wish in wishes for line in _user_differences(by_name.get(wish.name), wish))


def document(
    facts: SystemFacts, wishes: tuple[UserWish, ...], secrets: Secrets, new_salt: Callable[[], str]
) -> Document:
    """Make and adjust the users that differ. Raises Refused when a password's secret is not at hand."""
    by_name = {user.name: user for user in facts.users}
    changed = tuple(w for w in wishes if _user_differences(by_name.get(w.name), w))
    return Document(
        says=f"set up {', '.join(wish.name for wish in changed) or 'no user'}",
        accounts=tuple(
            Account(
                name=wish.name,
                login_shell=wish.shell,
                keys=wish.ssh_keys,
                password_hash=_hash(by_name.get(wish.name), wish, secrets, new_salt),
            )
            for wish in changed
        ),
        files=tuple(_rule(wish.name) for wish in changed if wish.sudo),
        remove=tuple(sudoers_path(wish.name) for wish in changed if not wish.sudo),
    )


def management_document(public_key: str, *, from_boot_os: bool) -> Document:
    """Give the site its way in: user, key, sudo rule, the fence and the folder of its highest epoch.

    The fence is a file of the boot OS; a running system that lost it gets it at the next reinstall.
    """
    return Document(
        says=f"set up {MANAGEMENT_USER} for the site's management key",
        accounts=(Account(name=MANAGEMENT_USER, login_shell="/bin/bash", keys=(public_key.strip(),)),),
        folders=("/var/lib/rackflow",),
        files=(_rule(MANAGEMENT_USER),),
        copies=(Copy(RF_EXEC, RF_EXEC),) if from_boot_os else (),
    )


def _rule(name: str) -> GuestFile:
    return GuestFile(sudoers_path(name), SUDO_RULE.format(name=name).encode(), mode="0440")


def _user_differences(found: UserFact | None, wish: UserWish) -> tuple[str, ...]:
    if found is None:
        return (f"user {wish.name} is missing",)
    lines = []
    if found.ssh_keys != wish.ssh_keys:
        lines.append(f"user {wish.name} has {len(found.ssh_keys)} other keys")
    if found.sudo != wish.sudo:
        lines.append(f"user {wish.name}: sudo is {found.sudo}, wanted {wish.sudo}")
    if found.shell != wish.shell:
        lines.append(f"user {wish.name}: shell is {found.shell}, wanted {wish.shell}")
    if wish.password is not None and not found.password_is.get(wish.password, False):
        lines.append(f"user {wish.name} has another password than {wish.password}")
    return tuple(lines)


def _hash(
    found: UserFact | None, wish: UserWish, secrets: Secrets, new_salt: Callable[[], str]
) -> str | None:
    if wish.password is None or (found is not None and found.password_is.get(wish.password, False)):
        return None
    secret = secrets.get(wish.password)
    if secret is None:
        raise Refused(
            f"the password of {wish.name} is {wish.password}, which is not the current version",
            reason="secret-missing",
            hint="plan again: the secret was changed after the plan was made",
        )
    return make_hash(secret.value, new_salt())
