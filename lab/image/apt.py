"""The host's own package sources: the image comes from the same mirror as everything else on the host."""

import subprocess
from collections.abc import Iterable

from lab.image.steps import BuildError

TARGET_FORMAT = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
FORWARDED = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIPv4")
"""Settings that decide whether a mirror is reached and believed: proxies, certificates, dates, retries."""


def source_lines(targets: Iterable[str], suite: str) -> list[str]:
    """Give one-line sources for the suite and its update suites out of ``apt-get indextargets`` lines.

    Third-party sources of the host, other suites and other components do not belong into the image.
    """
    wanted = {suite, f"{suite}-updates", f"{suite}-security"}
    components: dict[tuple[str, str], set[str]] = {}
    for target in targets:
        match target.split():
            case [uri, release, component] if release in wanted and component == "main":
                components.setdefault((uri, release), set()).add(component)
            case _:
                continue
    if suite not in {release for _, release in components}:
        raise BuildError(
            f"apt on this host knows no {suite}/main to build the image from; "
            f"add Debian {suite} to its sources and run: apt-get update"
        )
    return [
        f"deb {uri} {release} {' '.join(sorted(found))}"
        for (uri, release), found in sorted(components.items())
    ]


def forwarded_settings(dump: Iterable[str]) -> list[str]:
    """Keep those lines of ``apt-config dump`` that the build's own apt needs to reach the same mirror."""
    return [line for line in dump if line.startswith(FORWARDED)]


def host_sources(suite: str) -> list[str]:
    """Read the host's sources for the suite."""
    return source_lines(
        _lines("apt-get", "indextargets", "--format", TARGET_FORMAT, "Created-By: Packages"), suite
    )


def host_settings() -> list[str]:
    """Read the host's settings worth forwarding."""
    return forwarded_settings(_lines("apt-config", "dump"))


def _lines(*argv: str) -> list[str]:
    """Run one of apt's read-only commands."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{argv[0]} could not be asked for the host's package sources: {error}") from error
    return done.stdout.splitlines()
