"""The table of commands: name, the module that has it, and its function or group there.

Modules are imported when a command of theirs is called. All of them together take a second and a half to
import, which every call would pay, and scripts call often.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Final

import typer


@dataclass(frozen=True, slots=True)
class Entry:
    """One word after `rackflow`."""

    name: str
    module: str
    attribute: str
    group: bool = False

    def add_to(self, app: typer.Typer) -> None:
        """Import it and make it a command of the app."""
        found: Any = getattr(importlib.import_module(f"metal.cli.{self.module}"), self.attribute)
        if self.group:
            app.add_typer(found, name=self.name)
        else:
            app.command(self.name)(found)


ENTRIES: Final = (
    Entry("up", "up.command", "up"),
    Entry("edge", "parts", "edge"),
    Entry("worker", "parts", "worker"),
    Entry("hosts", "hosts", "hosts"),
    Entry("host", "hosts", "group", group=True),
    Entry("spec", "specs_command", "group", group=True),
    Entry("plan", "plans", "plan"),
    Entry("apply", "apply", "apply"),
    Entry("wipe", "wiping", "wipe"),
    Entry("approve", "consenting", "approve"),
    Entry("cancel", "ending", "cancel"),
    Entry("release", "ending", "release"),
    Entry("power", "power", "group", group=True),
    Entry("inspect", "power", "inspect"),
    Entry("why", "why", "why"),
    Entry("networks", "networks", "networks"),
    Entry("leases", "networks", "leases"),
    Entry("sightings", "networks", "sightings"),
    Entry("doctor", "doctor", "doctor"),
    Entry("parse", "parse", "parse"),
    Entry("site", "site", "group", group=True),
    Entry("secret", "secret", "group", group=True),
    Entry("credentials", "secret", "credentials"),
    Entry("console", "console", "console"),
    Entry("image", "images", "group", group=True),
    Entry("bootos", "parts", "bootos_group", group=True),
    Entry("lab", "parts", "lab_group", group=True),
)
"""In the order in which help shows them."""
