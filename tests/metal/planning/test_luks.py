"""Encrypted file systems in plans: keys by reference, and what stays is opened before anything goes."""

import json

import pytest

from metal.engine.proof import needs_proof
from metal.planning.steps import make_plan
from specs.facts import Hardware, PartitionFact
from specs.model import Host
from specs.phases import Phase

MIB, GIB = 1 << 20, 1 << 30
FS, HEADER = "55555555-6666-4777-8888-999999999999", "66666666-7777-4888-8999-aaaaaaaaaaaa"
VAULT = {
    "name": "vault",
    "size": "rest",
    "filesystem": "xfs",
    "mount": "/vault",
    "luks": {"key": {"secret": "disk"}},
}
SECRETS = {"ops-password": 3, "disk": 2}


def spec_with(hosts: dict[str, Host], **part: object) -> Host:
    body = hosts["db-01"].model_dump(mode="json")
    disks = [{"device": {"serial": "D1"}, "partitions": [VAULT | part]}]
    return Host.model_validate({**body, "disks": disks})


def with_vault(hardware: Hardware, **fact: object) -> Hardware:
    root = hardware.disks[0]
    part = PartitionFact(
        number=1, device="/dev/vdb1", start_bytes=MIB, size_bytes=GIB, name="vault",
        filesystem="crypto_LUKS", fs_uuid=HEADER, label=f"rf.{FS}",
    ).model_copy(update=fact)  # fmt: skip
    seen = {"device": "/dev/vdb", "serial": "D1", "partitions": (part,), "found": ("gpt with 1 partition",)}
    return hardware.model_copy(update={"disks": (root, root.model_copy(update=seen))})


def test_the_key_is_in_no_plan_and_the_machine_is_proven_before_it_is_sent(
    hosts, hardware, make_order, observe
) -> None:
    seen = with_vault(hardware["db-01"])
    plan = make_plan(make_order("db-01", spec=spec_with(hosts), secrets=SECRETS), observe(seen))
    assert plan.blocked is None
    step = plan.step("mkfs:vault")
    assert step.args["luks"] == {"secret": "secret:disk@2", "unlocked": "luks-vault"}
    (unlock,) = plan.step("crypttab").args["unlocks"]
    assert (unlock["secret"], unlock["key_path"]) == ("secret:disk@2", "/etc/rackflow/keys/vault.key")
    assert needs_proof(plan, step)
    assert needs_proof(plan, plan.step("wipe:D1"))
    assert "luks-open:vault" not in {one.id for one in plan.steps}
    assert json.dumps(step.args).count("secret:") == 1


def test_what_stays_is_opened_with_its_key_before_anything_is_erased(
    hosts, hardware, make_order, observe
) -> None:
    seen = with_vault(hardware["db-01"])
    order = make_order("db-01", spec=spec_with(hosts, preserve=True), secrets=SECRETS, phase=Phase.ACTIVE)
    plan = make_plan(order, observe(seen), reinstall=True)
    assert plan.blocked is None
    order_ = [one.id for one in plan.steps]
    first = next(one.id for one in plan.steps if one.destructive)
    assert order_.index("luks-open:vault") < order_.index(first)
    assert not {"mkfs:vault", "wipe:D1", "partition:D1"} & set(order_)
    (mount,) = plan.step("fstab").args["mounts"]
    assert mount["fs_uuid"] == FS
    assert plan.step("crypttab").args["unlocks"][0]["luks_uuid"] == HEADER


def test_a_header_that_somebody_else_made_is_mounted_by_its_device(
    hosts, hardware, make_order, observe
) -> None:
    seen = with_vault(hardware["db-01"], label="mine")
    order = make_order("db-01", spec=spec_with(hosts, preserve=True), secrets=SECRETS)
    (mount,) = make_plan(order, observe(seen)).step("fstab").args["mounts"]
    assert (mount["device"], mount["fs_uuid"]) == ("/dev/mapper/luks-vault", None)


@pytest.mark.parametrize(
    ("part", "fact", "secrets", "message"),
    [
        ({}, {}, {"ops-password": 3}, "no secret is called disk"),
        (
            {"preserve": True},
            {"filesystem": "xfs"},
            SECRETS,
            "vault is to be preserved and holds xfs, wished xfs in LUKS",
        ),
        (
            {"preserve": True, "luks": None},
            {},
            SECRETS,
            "vault is to be preserved and holds crypto_LUKS, wished xfs",
        ),
        ({"size": "315MiB"}, {}, SECRETS, "the least of xfs is 316 MiB"),
    ],
)
def test_what_could_not_be_unlocked_is_refused_before_anything(
    part, fact, secrets, message, hosts, hardware, make_order, observe
) -> None:
    seen = with_vault(hardware["db-01"], **fact)
    plan = make_plan(make_order("db-01", spec=spec_with(hosts, **part), secrets=secrets), observe(seen))
    assert plan.blocked == ("layout-impossible" if secrets is SECRETS else "secret-missing")
    assert message in plan.steps[0].reason
