"""The host name: /etc/hostname, and the line of /etc/hosts by which it resolves without a network."""

from typing import Final

from metal.drivers.guest.document import Document, GuestFile
from specs.facts import SystemFacts

SELF_ADDRESS: Final = "127.0.1.1"
HOSTS: Final = "/etc/hosts"


def differences(facts: SystemFacts, hostname: str) -> tuple[str, ...]:
    """Say what differs."""
    return () if facts.hostname == hostname else (f"hostname is {facts.hostname}, wanted {hostname}",)


def document(hostname: str, hosts: str | None) -> Document:
    """Write both files; the running kernel is told as well."""
    return Document(
        says=f"set the host name {hostname}",
        files=(
            GuestFile("/etc/hostname", f"{hostname}\n".encode()),
            GuestFile(HOSTS, hosts_with(hosts, hostname).encode()),
        ),
        run=(("hostname", hostname),),
    )


def hosts_with(text: str | None, hostname: str) -> str:
    """Give /etc/hosts with the one line for this machine."""
    short = hostname.partition(".")[0]
    names = hostname if short == hostname else f"{hostname} {short}"
    line = f"{SELF_ADDRESS} {names}"
    kept = [old for old in (text or "127.0.0.1 localhost").splitlines() if old.split()[:1] != [SELF_ADDRESS]]
    place = next((n + 1 for n, old in enumerate(kept) if old.split()[:1] == ["127.0.0.1"]), 0)
    return "\n".join([*kept[:place], line, *kept[place:]]) + "\n"
