"""Encrypted file systems that the TPM opens: where there is one, where there is none, where nobody knows."""

import pytest

from metal.engine.proof import needs_proof
from metal.planning.diff import LOCKED
from metal.planning.plan import Plan
from metal.planning.steps import make_plan
from metal.planning.wish import layout_hash
from metal.testing.fake_host import FakeHost
from specs.facts import LogicalVolumeFact, PhysicalVolumeFact, VolumeGroupFact
from specs.phases import Phase
from tests.metal.planning.conftest import IMAGE, NOW
from tests.metal.planning.test_luks import GIB, HEADER, MIB, SECRETS, spec_with, with_vault


def luks(tpm2: str) -> dict[str, object]:
    return {"luks": {"key": {"secret": "disk"}, "tpm2": tpm2}}


@pytest.fixture
def plan_with(hosts, hardware, make_order, observe):
    def make(tpm2: str, tpm: str | None, *, preserve: bool = False) -> Plan:
        seen = with_vault(hardware["db-01"]).model_copy(update={"tpm": tpm})
        spec = spec_with(hosts, **luks(tpm2), preserve=preserve)
        order = make_order("db-01", spec=spec, secrets=SECRETS)
        return make_plan(order, observe(seen))

    return make


def kinds(plan: Plan) -> set[str]:
    return {step.kind for step in plan.steps}


@pytest.mark.parametrize("tpm2", ["prefer", "require"])
def test_where_there_is_a_tpm_it_opens_and_no_copy_of_the_key_is_asked_for(tpm2, plan_with) -> None:
    plan = plan_with(tpm2, "2.0")
    assert (plan.blocked, plan.notes) == (None, ())
    assert plan.step("mkfs:vault").args["luks"]["tpm2"] is True
    (unlock,) = plan.step("crypttab").args["unlocks"]
    assert unlock["tpm2"] is True
    assert "key_path" not in unlock
    order = [step.id for step in plan.steps]
    first = next(step.id for step in plan.steps if step.destructive)
    assert order.index("tpm2") < order.index(first)
    assert needs_proof(plan, plan.step("mkfs:vault"))


@pytest.mark.parametrize(
    ("tpm2", "tpm"), [("off", "2.0"), ("off", None), ("prefer", "none"), ("prefer", "1.2")]
)
def test_without_it_a_copy_of_the_key_does_and_the_plan_says_so(tpm2, tpm, plan_with) -> None:
    plan = plan_with(tpm2, tpm)
    assert plan.blocked is None
    assert "tpm2" not in kinds(plan)
    assert "tpm2" not in plan.step("mkfs:vault").args["luks"]
    (unlock,) = plan.step("crypttab").args["unlocks"]
    assert (unlock["key_path"], "tpm2" in unlock) == ("/etc/rackflow/keys/vault.key", False)
    seen = {"none": "none", "1.2": "a TPM 1.2"}
    told = f"vault: unlocked by a copy of the key on the root, as the machine has {seen.get(tpm)}"
    assert plan.notes == ((told,) if tpm2 == "prefer" else ())


@pytest.mark.parametrize(
    ("tpm2", "tpm", "message"),
    [
        ("require", "none", "vault: tpm2 is required, the machine has none"),
        ("require", "1.2", "vault: tpm2 is required, the machine has a TPM 1.2"),
        ("require", None, "vault: whether the machine has a TPM 2.0 was not read yet"),
        ("prefer", None, "vault: whether the machine has a TPM 2.0 was not read yet"),
    ],
)
def test_what_is_missing_or_unknown_refuses_the_plan(tpm2, tpm, message, plan_with) -> None:
    plan = plan_with(tpm2, tpm)
    assert plan.blocked == "tpm2-missing"
    assert [step.reason for step in plan.steps if step.blocked_by] == [message]


def test_what_stays_gets_the_slot_before_anything_is_erased(plan_with) -> None:
    plan = plan_with("require", "2.0", preserve=True)
    assert plan.blocked is None
    order = [step.id for step in plan.steps]
    first = next(step.id for step in plan.steps if step.destructive)
    assert order.index("tpm2") < order.index("luks-open:vault") < order.index(first)
    opens = plan.step("luks-open:vault")
    assert (opens.args["luks"]["tpm2"], opens.new) == (True, "vault opened by the TPM too")
    (unlock,) = plan.step("crypttab").args["unlocks"]
    assert (unlock["luks_uuid"], unlock["tpm2"], "key_path" in unlock) == (HEADER, True, False)


def test_what_stays_in_a_volume_is_opened_before_anything_too(hosts, hardware, make_order, observe) -> None:
    seen = with_vault(hardware["db-01"], name="pv", filesystem="LVM2_member", fs_uuid="pv-1", label=None)
    volume = LogicalVolumeFact(name="vault", uuid="lv", size_bytes=GIB // 2, layout="linear")
    group = VolumeGroupFact(
        name="sys",
        uuid="vg",
        extent_bytes=4 * MIB,
        physical_volumes=(PhysicalVolumeFact(uuid="pv-1", device="/dev/vdb1"),),
        logical_volumes=(volume,),
    )
    seen = seen.model_copy(update={"tpm": "2.0", "volume_groups": (group,)})
    vault = {"name": "vault", "size": "rest", "filesystem": "xfs", "mount": "/vault", "preserve": True}
    body = hosts["db-01"].model_dump(mode="json") | {
        "disks": [
            {"device": {"serial": "D1"}, "partitions": [{"name": "pv", "size": "rest", "lvm": {"vg": "sys"}}]}
        ],
        "volumeGroups": [{"name": "sys", "logicalVolumes": [vault | luks("require")]}],
    }
    body.pop("volume_groups", None)
    spec = type(hosts["db-01"]).model_validate(body)
    plan = make_plan(make_order("db-01", spec=spec, secrets=SECRETS), observe(seen))
    assert plan.blocked is None
    opens = plan.step("luks-open:vault")
    assert (opens.args["group"]["uuid"], opens.args["luks"]["tpm2"]) == ("vg", True)
    (unlock,) = plan.step("crypttab").args["unlocks"]
    assert (unlock["device"], unlock["tpm2"]) == ("/dev/sys/vault", True)


def test_off_is_what_hosts_of_before_were_installed_with(hosts) -> None:
    assert layout_hash(spec_with(hosts, **luks("off"))) == layout_hash(spec_with(hosts))
    assert layout_hash(spec_with(hosts, **luks("prefer"))) != layout_hash(spec_with(hosts))


def test_a_bare_off_of_yaml_is_a_word(hosts) -> None:
    part = spec_with(hosts, luks={"key": {"secret": "disk"}, "tpm2": False}).disks[0].partitions[0]
    assert part.luks is not None
    assert part.luks.tpm2 == "off"


@pytest.mark.parametrize("tpm2", ["require", "off"])
def test_a_tpm_that_opens_nothing_any_more_is_drift_with_a_next_step(
    tpm2, hosts, hardware, make_order
) -> None:
    spec = spec_with(hosts, **luks(tpm2))
    order = make_order("db-01", spec=spec, secrets=SECRETS)
    seen = with_vault(hardware["db-01"]).model_copy(update={"tpm": "2.0"})
    machine = FakeHost(order.host.id, seen, IMAGE)
    machine.run(make_plan(order, machine.observe(NOW)))
    running = order.model_copy(update={"host": order.host.model_copy(update={"phase": Phase.ACTIVE})})
    refs = [f"secret:{name}@{version}" for name, version in SECRETS.items()]
    found = machine.observe(NOW, refs)
    assert make_plan(running, found).drift == ()
    assert found.system is not None
    mounts = tuple(one for one in found.system.mounts if one.mount != "/vault")
    lost = found.model_copy(update={"system": found.system.model_copy(update={"mounts": mounts})})
    told = f"disks.vault: is not mounted{LOCKED if tpm2 == 'require' else ''}, wished mounted on /vault"
    assert make_plan(running, lost).drift == (told,)
