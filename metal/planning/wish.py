"""What the deployed system should look like, with every reference resolved as far as planning may.

Secrets stay references (`secret:NAME@VERSION`): a plan is shown, stored and hashed, so no value may be
in it; the executor fetches values at the moment of use.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metal.planning.disks import Refusal
from metal.planning.network import NetworkPlan, plan_network
from metal.planning.plan import canonical
from specs.facts import Nic
from specs.model import Host, HostFile, SecretRef, User
from specs.records import WorkOrder

GENERATED = "generated"
MANAGEMENT_USER = "rackflow"


@dataclass(frozen=True, slots=True)
class Wish:
    """The adjustable part of a spec, ready to be compared and written; or per part why it is not."""

    hostname: str
    network: NetworkPlan | Refusal | None
    users: tuple[Mapping[str, Any], ...]
    files: tuple[Mapping[str, Any], ...]
    management_key: str | None
    refusals: Mapping[str, Refusal]
    """Step kind -> what is missing for it."""


def wish_of(spec: Host, order: WorkOrder, nics: Sequence[Nic] | None) -> Wish:
    """Resolve a spec's adjustable fields. Unknown NICs make a refusal only if the network asks for any."""
    refusals: dict[str, Refusal] = {}
    network: NetworkPlan | Refusal | None = None
    if spec.network.ethernets or spec.network.bonds or spec.network.vlans:
        if nics is None:
            network = Refusal("no-matching-nic", "the NICs of the machine are not known")
        else:
            network = plan_network(spec.network, nics, order.addresses)
        if isinstance(network, Refusal):
            refusals["network"] = network
    missing = sorted(name for name in _secrets(spec.users) if name not in order.secrets)
    if missing:
        refusals["users"] = Refusal("secret-missing", f"no secret is called {', '.join(missing)}")
    if any(user.name == MANAGEMENT_USER for user in spec.users):
        told = f"user {MANAGEMENT_USER} is the site's own, with its key and sudo rule; choose another name"
        refusals["users"] = Refusal("unsupported", told)
    generated = sorted(user.name for user in spec.users if user.password_from == GENERATED)
    if generated:
        # Nothing could show the password to anybody afterwards, nor tell whether it is still the one.
        told = f"{', '.join(generated)}: passwordFrom generated is for BMCs; name a secret"
        refusals["users"] = Refusal("unsupported", told)
    missing = sorted(file.secret for file in spec.files if file.secret and file.secret not in order.secrets)
    if missing:
        refusals["files"] = Refusal("secret-missing", f"no secret is called {', '.join(missing)}")
    absent = sorted(one.source for one in spec.files if one.source and one.source not in order.file_sources)
    if absent:
        refusals["files"] = Refusal("step-failed", f"the spec set has no file {', '.join(absent)}")
    if spec.management and not order.management_key:
        refusals["management"] = Refusal("secret-missing", "the site has no management key")
    return Wish(
        hostname=spec.hostname or spec.name,
        network=network,
        users=tuple(_user(user, order.secrets) for user in spec.users),
        files=tuple(_file(file, order) for file in spec.files),
        management_key=order.management_key if spec.management else None,
        refusals=refusals,
    )


def layout_hash(spec: Host) -> str:
    """One hash over the creation-only fields but the image: what an install record is compared with."""
    body = spec.model_dump(
        mode="json",
        by_alias=True,
        exclude_defaults=True,
        include={"raid", "root_device", "disks", "volume_groups"},
    )
    for layout in body.get("disks", ()):
        layout.pop("wipe", None)  # how the disk was cleaned leaves no trace in the layout
    return "sha256:" + hashlib.sha256(canonical(body)).hexdigest()


def secret_ref(name: str, versions: Mapping[str, int]) -> str:
    """How a secret's current version is written; version 0 stands for one that is missing."""
    return f"secret:{name}@{versions.get(name, 0)}"


def _secrets(users: Sequence[User]) -> set[str]:
    return {user.password_from.secret for user in users if isinstance(user.password_from, SecretRef)}


def _user(user: User, versions: Mapping[str, int]) -> Mapping[str, Any]:
    password: str | None = None
    if isinstance(user.password_from, SecretRef):
        password = secret_ref(user.password_from.secret, versions)
    elif user.password_from == GENERATED:
        password = GENERATED
    return {
        "name": user.name,
        "ssh_keys": list(user.ssh_keys),
        "sudo": user.sudo,
        "shell": user.shell,
        "password": password,
    }


def _file(file: HostFile, order: WorkOrder) -> Mapping[str, Any]:
    args: dict[str, Any] = {
        "path": file.path,
        "mode": file.mode,
        "owner": file.owner,
        "group": file.group,
        "sha256": None,
    }
    if file.secret is not None:
        return {**args, "secret": secret_ref(file.secret, order.secrets)}
    if file.source is not None:
        content = base64.b64decode(order.file_sources.get(file.source, ""))
    else:
        content = (file.content or "").encode()
    return {
        **args,
        "content_b64": base64.b64encode(content).decode(),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
