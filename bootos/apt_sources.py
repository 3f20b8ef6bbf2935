"""Where Debian packages come from: the host's own apt sources, so that no mirror is named here."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from bootos.steps import BuildError

_FORMAT = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ARCHITECTURE)|$(ORIGIN)"
FIRMWARE_COMPONENT = "non-free-firmware"


@dataclass(frozen=True, order=True)
class Source:
    """One component of one suite at one archive, as apt knows it."""

    uri: str
    suite: str
    component: str
    architecture: str

    def line(self) -> str:
        """The one-line form of sources.list(5)."""
        return f"deb [arch={self.architecture}] {self.uri} {self.suite} {self.component}"


def codename(os_release: Path = Path("/etc/os-release")) -> str:
    """The suite to build from: the release that the host itself runs."""
    for line in os_release.read_text().splitlines():
        key, _, value = line.partition("=")
        if key == "VERSION_CODENAME":
            return value.strip('"')
    raise BuildError(f"{os_release} has no VERSION_CODENAME: build on a Debian release, not on a rolling one")


def parse_targets(text: str, *, suite: str, architecture: str = "amd64") -> tuple[Source, ...]:
    """Debian's own lines of `apt-get indextargets`: the suite, its -security and -updates; no others."""
    wanted = {suite, f"{suite}-security", f"{suite}-updates"}
    found = set()
    for line in text.splitlines():
        uri, release, component, arch, origin = line.split("|")
        # apt knows the origin once it has fetched the index; before, it prints the name of the field
        ours = component in {"main", FIRMWARE_COMPONENT} and origin in {"Debian", "$(ORIGIN)"}
        if release in wanted and arch == architecture and ours:
            found.add(Source(uri, release, component, arch))
    return tuple(sorted(found))


def host_sources(suite: str) -> tuple[Source, ...]:
    """The host's sources for this suite."""
    argv = ["apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise BuildError(f"apt-get indextargets failed ({done.returncode}): {done.stderr.strip()}")
    sources = parse_targets(done.stdout, suite=suite)
    if not any(source.component == "main" for source in sources):
        raise BuildError(
            f"apt on this host has no main component of {suite}: add one to /etc/apt/sources.list"
        )
    return sources


def with_firmware(sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """The same archives with the firmware component added; whether they have it shows when it is fetched."""
    added = {
        Source(source.uri, source.suite, FIRMWARE_COMPONENT, source.architecture)
        for source in sources
        if source.component == "main"
    }
    return tuple(sorted({*sources, *added}))
