"""Ids that the installer gives to arrays, disks and file systems.

They are derived and not drawn, so that a second start of the same job finds what the first one made and
calls it done, and so that "is this the file system we made" is one comparison.
"""

from typing import Final
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("6d0c7f0e-52a1-4c3b-9d5e-9a7f2f6f1b10")
"""Drawn once for rackflow; changing it makes every installed host look like drift."""


def derived_uuid(host_id: str, job: int, name: str) -> str:
    """The id of the thing called `name` (`raid:system`, `fs:data`) that a job makes on a host."""
    return str(uuid5(NAMESPACE, f"{host_id}/{job}/{name}"))
