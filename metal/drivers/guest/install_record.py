"""The install record: what was made, by which job, in the deployed root; the registry keeps the same."""

from typing import Final

from metal.drivers.guest.document import Document, GuestFile
from specs.facts import InstallRecord, SystemFacts

RECORD: Final = "/etc/rackflow/install.json"


def differences(facts: SystemFacts, record: InstallRecord) -> tuple[str, ...]:
    """Say whether the record is another one."""
    return () if facts.record == record else ("the install record is missing or another one",)


def document(record: InstallRecord) -> Document:
    """Write the record."""
    return Document(
        says=f"write the install record of job {record.job}",
        files=(GuestFile(RECORD, (record.model_dump_json(indent=1) + "\n").encode()),),
    )
