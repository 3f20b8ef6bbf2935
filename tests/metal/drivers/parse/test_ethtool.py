"""ethtool's forms, one by one and together."""

import pytest

from metal.drivers.network.ethtool import parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

SETTINGS = """\
Settings for eno1:
\tSupported ports: [ FIBRE ]
\tSupported link modes:   10000baseCR/Full
\t                        25000baseCR/Full
\tSupports auto-negotiation: Yes
\tAdvertised auto-negotiation: Yes
\tSpeed: 25000Mb/s
\tDuplex: Full
\tAuto-negotiation: off
\tPort: Direct Attach Copper
\tPHYAD: 0
\tCurrent message level: 0x00000004 (4)
\t\t\t       link
\tLink detected: yes
"""
DOWN = """\
Cannot get wake-on-lan settings: Operation not permitted
Settings for eno2:
\tSpeed: Unknown!
\tDuplex: Unknown! (255)
\tPort: Twisted Pair
\tAuto-negotiation: on
\tLink detected: no (No cable)
"""
DRIVER = """\
driver: ice
version: 6.1.0-rf
firmware-version: N/A
expansion-rom-version:
bus-info: 0000:b1:00.0
supports-statistics: yes
"""
MODULE = """\
\tIdentifier                                : 0x11 (QSFP28)
\tConnector                                 : 0x23 (No separable connector)
\tTransceiver type                          : 100G Ethernet: 100G Base-CR4
\tVendor name                               : Acme Cables
\tVendor PN                                 : AC-100-2
\tVendor SN                                 : A1B2C3
"""
FEATURES = """\
Features for eno1:
rx-checksumming: on
\ttx-checksum-ipv4: off [fixed]
large-receive-offload: off [requested on]
hw-tc-offload: on
"""
RINGS = """\
Ring parameters for eno1:
Pre-set maximums:
RX:             4096
TX:             4096
Current hardware settings:
RX:             512
TX:             512
"""
PAUSE = "Pause parameters for eno1:\nAutonegotiate:  on\nRX:             off\n"
STATISTICS = "NIC statistics:\n     rx_packets: 12\n     tx_packets: 7\n"


def test_a_link_that_is_up():
    read = value_or_refusal("ethtool", parse, SETTINGS)
    assert (read["interface"], read["speed_mbps"], read["duplex"]) == ("eno1", 25000, "full")
    assert (read["port"], read["link"], read["autoneg"]) == ("Direct Attach Copper", True, False)
    assert read["ignored"] == []


def test_a_link_that_is_down_has_no_speed():
    read = parse(DOWN)
    assert (read.value.speed_mbps, read.value.duplex) == (None, None)
    assert (read.value.link, read.value.autoneg) == (False, True)
    assert read.ignored == ("Cannot get wake-on-lan settings: Operation not permitted",)


def test_the_driver():
    read = parse(DRIVER)
    assert (read.value.driver, read.value.version, read.value.bus) == ("ice", "6.1.0-rf", "0000:b1:00.0")
    assert (read.value.firmware, read.placeholders) == (None, ("firmware",))


@pytest.mark.parametrize(
    ("told", "mac", "placeholders"),
    [
        ("52:54:00:AA:BB:CC", "52:54:00:aa:bb:cc", ()),
        ("00:00:00:00:00:00", None, ("mac",)),
        ("not set", None, ("mac",)),
    ],
)
def test_the_permanent_address(told, mac, placeholders):
    read = parse(f"Permanent address: {told}\n")
    assert (read.value.mac, read.placeholders) == (mac, placeholders)


def test_the_module():
    read = parse(MODULE).value
    assert (read.vendor, read.part, read.serial) == ("Acme Cables", "AC-100-2", "A1B2C3")
    assert read.connector == "No separable connector"


def test_features_are_on_or_off_whoever_fixed_them():
    assert parse(FEATURES).value.features == {
        "rx-checksumming": True,
        "tx-checksum-ipv4": False,
        "large-receive-offload": False,
        "hw-tc-offload": True,
    }


def test_other_forms_are_settings_by_section():
    rings = parse(RINGS).value
    assert rings.interface == "eno1"
    assert rings.settings["Pre-set maximums: RX"] == "4096"
    assert rings.settings["Current hardware settings: RX"] == "512"
    assert parse(PAUSE).value.settings == {"Autonegotiate": "on", "RX": "off"}
    assert parse(STATISTICS).value.settings == {"rx_packets": "12", "tx_packets": "7"}
    standard = parse("Standard stats for eno1:\neth-phy-SymbolErrorDuringCarrier: 3\n").value
    assert (standard.interface, standard.settings) == ("eno1", {"eth-phy-SymbolErrorDuringCarrier": "3"})
    assert parse("EEE Settings for eno1:\n\tEEE status: disabled\n").value.settings == {
        "EEE status": "disabled"
    }
    power = "power-mode-policy: auto"
    assert parse(f"Module parameters for eno1:\n{power}\n").value.settings == {"power-mode-policy": "auto"}


def test_flow_rules_are_counted_in_sentences():
    assert parse("4 RX rings available\nTotal 0 rules\n\n").value.settings == {"rings": "4", "rules": "0"}


def test_forms_for_one_interface_add_up_and_another_interface_begins_anew():
    read = parse(SETTINGS + FEATURES + RINGS).value
    assert (read.speed_mbps, len(read.features), len(read.settings)) == (25000, 4, 4)
    assert parse(SETTINGS + DOWN).value.interface == "eno2"
    assert parse(SETTINGS + DOWN).value.port == "Twisted Pair"


@pytest.mark.parametrize(
    "text",
    [
        "Settings for eno9:\nNo data available\n",
        "Cannot get device settings: No such device\n",
        "Cannot get device pause settings: Operation not supported\nPause parameters for eno1:\n",
        "Features for eno1:\n",
        "netlink error: No such device\n",
        "00:1f.2 SATA controller: Acme\n",
    ],
)
def test_a_heading_or_an_error_alone_is_refused(text):
    with pytest.raises(Unparsable, match="line 1: expected settings of an interface"):
        parse(text)


test_nothing_but_a_value_or_a_refusal = never_anything_else(
    "ethtool", parse, (SETTINGS, DOWN, DRIVER, MODULE, FEATURES, RINGS, PAUSE, STATISTICS)
)
