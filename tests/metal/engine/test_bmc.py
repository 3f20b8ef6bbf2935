"""The BMC's set-up in its order, and power that is read before and after."""

import pytest

from metal.drivers.bmc.in_band import GUID, LAN, MC_INFO
from metal.engine.bmc_setup import setup_bmc
from metal.engine.claim import Claim
from metal.engine.power import power, set_boot
from metal.errors import LeaseLost, Refused
from metal.protocols import BootFlags, Output

CLAIM = Claim("web-01", 7, "run-1", 4)
MC = "Firmware Revision         : 1.02\nManufacturer ID           : 674\nProduct ID : 256\n"
GUID_BYTES = " 52 1a 3c 7f 0e 6b 7a 4d 9c 11 0a 5d 31 c0 de 02\n"
GUID_TEXT = "7f3c1a52-6b0e-4d7a-9c11-0a5d31c0de02"
LAN_TEXT = """IP Address Source       : {source}
IP Address              : {address}
Subnet Mask             : 255.255.255.0
MAC Address             : 02:bc:00:00:00:01
Default Gateway IP      : 0.0.0.0
RMCP+ Cipher Suites     : 3,17
"""
ACCESS = """Maximum User IDs     : 10
User ID              : 2
User Name            : ADMIN
Fixed Name           : No
Access Available     : call-in / callback
Link Authentication  : enabled
IPMI Messaging       : enabled
Privilege Level      : ADMINISTRATOR
Enable Status        : enabled

User ID              : 3
User Name            :
Fixed Name           : No
Access Available     : call-in / callback
Link Authentication  : disabled
IPMI Messaging       : disabled
Privilege Level      : NO ACCESS
Enable Status        : disabled
"""


def in_band(address: str, source: str) -> dict:
    lan = LAN_TEXT.format(address=address, source=source)
    return {
        MC_INFO.argv: MC,
        GUID.argv: GUID_BYTES,
        LAN.argv: f"channel 1\n{lan}",
        ("ipmitool", "lan", "print", "1"): lan,
        ("ipmitool", "channel", "getaccess", "1"): ACCESS,
        (
            "ipmitool",
            "channel",
            "info",
            "1",
        ): "  Volatile(active) Settings\n    Access Mode  : always available\n",
        ("ipmitool", "sol", "info", "1"): "Enabled                         : true\n",
    }


@pytest.fixture
def fresh(rig):
    """A machine whose BMC nobody has set up: it takes the password that is sent in band."""
    rig.edge.credentials_.clear()
    rig.bmc.uuid, rig.bmc.passwords = GUID_TEXT, set()
    plain = rig.machine._script
    rig.machine._script = lambda: plain() | in_band("0.0.0.0", "DHCP Address")

    def changed(change):
        rig.edge.calls.append("in band")
        if change.argv[:2] == ("ipmitool", "exec") and b"raw 0x06 0x47" in change.stdin:
            rig.bmc.passwords.add("new-secret-1234")
        if change.argv[:4] == ("ipmitool", "raw", "0x06", "0x58"):
            rig.bmc.proof = bytes(int(word, 16) for word in change.argv[8:]).decode()

    rig.machine.on_change = changed
    return rig


@pytest.fixture
def converged(rig):
    """A machine whose BMC is as it should be."""
    rig.bmc.uuid = GUID_TEXT
    plain = rig.machine._script
    rig.machine._script = lambda: plain() | in_band("10.77.9.50", "Static Address")
    return rig


def setup(rig):
    return setup_bmc(
        rig.edge, CLAIM, sessions=rig.around.sessions, clock=rig.around.clock, sleep=rig.around.sleep
    )


def test_the_candidate_is_stored_before_it_is_set_and_promoted_after_the_proof(fresh):
    outcome = setup(fresh)
    order = [
        call for call in fresh.edge.calls if call in ("candidate", "in band", "promote", "lock", "unlock")
    ]
    assert order[:2] == ["lock", "candidate"]
    assert order[-2:] == ["promote", "unlock"]
    assert order.count("in band") == outcome.writes > 2
    assert (outcome.state, outcome.proven, outcome.address) == ("verified", True, "10.77.9.50")
    assert "new-secret-1234" not in repr([sent.change for sent in fresh.machine.sent])


def test_a_site_that_only_inspects_leaves_the_bmc_of_an_unclaimed_machine_alone(fresh):
    """`discovery: inspect` changes nothing on disk or BMC; a spec that claims the machine does."""
    fresh.edge.order_ = fresh.edge.order_.model_copy(update={"discovery": "inspect", "spec": None})

    outcome = setup(fresh)

    assert (outcome.state, outcome.writes) == ("none", 0)
    assert "in band" not in fresh.edge.calls
    assert fresh.edge.credentials_ == []


def test_a_bmc_that_is_so_already_gets_no_write(converged):
    outcome = setup(converged)
    assert (outcome.state, outcome.writes) == ("verified", 0)
    assert converged.machine.sent == []
    assert "candidate" not in converged.edge.calls


def test_a_candidate_that_was_set_before_a_crash_is_promoted_without_a_write(converged):
    candidate = converged.edge.credentials_[0].model_copy(update={"state": "candidate"})
    converged.edge.credentials_[:] = [candidate]
    assert setup(converged).writes == 0
    assert "promote" in converged.edge.calls


@pytest.mark.parametrize(("field", "value"), [("uuid", "another-guid"), ("mac", "02:bc:00:00:00:99")])
def test_a_twin_on_the_address_is_refused_and_nothing_is_promoted(fresh, field, value):
    setattr(fresh.bmc, field, value)
    with pytest.raises(Refused) as caught:
        setup(fresh)
    assert caught.value.reason == "bmc-mismatch"
    assert "promote" not in fresh.edge.calls
    assert fresh.edge.calls[-1] == "unlock"


def test_a_bmc_that_does_not_take_the_credential_is_unverified_after_a_deadline(fresh):
    fresh.machine.on_change = None
    with pytest.raises(Refused) as caught:
        setup(fresh)
    assert caught.value.reason == "bmc-unverified"
    assert "promote" not in fresh.edge.calls


def test_another_value_over_the_lan_than_was_written_in_band_is_a_mismatch(fresh):
    plain = fresh.machine.on_change

    def changed(change):
        plain(change)
        fresh.bmc.proof = "somethingelse1" if fresh.bmc.proof else None

    fresh.machine.on_change = changed
    with pytest.raises(Refused) as caught:
        setup(fresh)
    assert caught.value.reason == "bmc-mismatch"


def test_a_bmc_without_a_place_for_a_value_is_verified_without_proof(fresh):
    plain = fresh.machine.on_change

    def changed(change):
        if change.argv[:4] == ("ipmitool", "raw", "0x06", "0x58"):
            return Output(change.argv, 1, "", "Invalid command")
        return plain(change)

    fresh.machine.on_change = changed
    outcome = setup(fresh)
    assert (outcome.state, outcome.proven) == ("verified", False)


def test_a_machine_without_a_bmc_is_said_to_have_none(rig):
    plain = rig.machine._script
    none = Output((), 1, "", "Could not open device at /dev/ipmi0 or /dev/ipmi/0: No such file or directory")
    rig.machine._script = lambda: plain() | {query.argv: none for query in (MC_INFO, GUID, LAN)}
    assert setup(rig).state == "none"
    assert rig.edge.put["BmcVerified"]["status"] == "Unknown"


def test_a_lost_lease_sets_nothing(fresh):
    fresh.edge.epoch = 9
    with pytest.raises(LeaseLost):
        setup(fresh)
    assert fresh.machine.sent == []


@pytest.mark.parametrize(
    ("state", "action", "sent"),
    [
        ("on", "on", []),
        ("off", "on", ["on"]),
        ("off", "off", []),
        ("on", "off", ["off"]),
        ("on", "cycle", ["cycle"]),
        ("off", "cycle", ["on"]),
        ("off", "reset", ["on"]),
        ("on", "soft", ["soft"]),
        ("on", "status", []),
    ],
)
def test_power_is_read_before_acting(rig, state, action, sent):
    rig.bmc.state = state
    outcome = power(
        rig.edge, "web-01", action, owner="me", sessions=rig.around.sessions, sleep=rig.around.sleep
    )
    assert rig.bmc.sent == sent
    assert outcome.writes == len(sent)
    assert rig.edge.calls[0] == "lock"
    assert rig.edge.calls[-1] == "unlock"


def test_a_machine_that_does_not_follow_is_refused_after_a_deadline(rig):
    rig.bmc.obeys, rig.bmc.state = False, "off"
    with pytest.raises(Refused, match="still off after 30 s"):
        power(rig.edge, "web-01", "on", owner="me", sessions=rig.around.sessions, sleep=rig.around.sleep)
    assert rig.edge.calls[-1] == "unlock"


def test_boot_flags_are_set_once_and_read_back(rig):
    wished = BootFlags("disk", persistent=True, efi=True)
    assert set_boot(rig.bmc, "web-01", wished) == 1
    assert set_boot(rig.bmc, "web-01", wished) == 0
    rig.bmc.obeys = False
    with pytest.raises(Refused, match="read back"):
        set_boot(rig.bmc, "web-01", BootFlags("pxe", persistent=False, efi=True))


def test_no_credential_that_fits_names_those_that_were_tried(rig):
    rig.bmc.passwords.clear()
    with pytest.raises(Refused, match=r"tried rackflow@10\.77\.9\.50 \(current\)") as caught:
        power(rig.edge, "web-01", "on", owner="me", sessions=rig.around.sessions, sleep=rig.around.sleep)
    assert caught.value.reason == "bmc-unverified"
    assert "good" not in str(caught.value)
