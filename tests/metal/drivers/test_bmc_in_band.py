"""Deciding a BMC's set-up, without a BMC."""

import pytest

from metal.drivers.bmc.in_band import BmcSetup
from metal.drivers.bmc.ipmitool import lan, mc, users
from metal.drivers.bmc.ipmitool.lan import LanInfo
from metal.drivers.bmc.ipmitool.users import BmcUser
from metal.drivers.bmc.setup import EXEC, BmcWish, choose_slot, proof_change, setup_changes
from metal.errors import Refused, SpecError, Unparsable

ADMIN = BmcUser(2, "ADMIN", None, link_auth=True, ipmi_msg=True, privilege="ADMINISTRATOR", enabled=True)
EMPTY = BmcUser(3, None, None, link_auth=False, ipmi_msg=False, privilege="NO ACCESS", enabled=False)
OURS = BmcUser(4, "rackflow", None, link_auth=True, ipmi_msg=True, privilege="ADMINISTRATOR", enabled=True)
LAN = LanInfo("static", "10.0.0.5", "255.255.255.0", "52:54:00:00:00:09", "10.0.0.1", None, (3, 17))
DHCP = LanInfo("dhcp", "10.0.0.5", "255.255.255.0", "52:54:00:00:00:09", None, None, (3, 17))


def wish(**more) -> BmcWish:
    return BmcWish(**{"user": "rackflow", "address": "10.0.0.5", "netmask": "255.255.255.0", **more})


def lines(changes) -> list[str]:
    assert all(change.argv == EXEC for change in changes)
    return [line for change in changes for line in change.stdin.decode().splitlines()]


def test_nothing_is_sent_to_a_bmc_that_is_so_already():
    seen = BmcSetup(1, LAN, (ADMIN, EMPTY, OURS), "always available", sol=True)
    assert setup_changes(seen, wish(gateway="10.0.0.1")) == ()


def test_the_source_is_set_before_the_address_and_the_password_is_hex():
    seen = BmcSetup(2, DHCP, (ADMIN, EMPTY), "disabled", sol=False)
    sent = setup_changes(seen, wish(gateway="10.0.0.1", password="a#'b"))
    assert lines(sent) == [
        "lan set 2 ipsrc static",
        "lan set 2 ipaddr 10.0.0.5",
        "lan set 2 netmask 255.255.255.0",
        "lan set 2 defgw ipaddr 10.0.0.1",
        "lan set 2 access on",
        "user set name 3 rackflow",
        "raw 0x06 0x47 0x03 0x02 0x61 0x23 0x27 0x62" + " 0x00" * 12,
        "channel setaccess 2 3 link=on ipmi=on callin=on privilege=4",
        "user enable 3",
        "sol set enabled true 2",
        "sol payload enable 2 3",
    ]
    assert "a#'b" not in repr(sent)
    assert "a#'b" not in repr(wish(password="a#'b"))


def test_twenty_bytes_are_announced_by_the_slots_high_bit():
    seen = BmcSetup(1, LAN, (OURS,), "always available", sol=True)
    (change,) = setup_changes(seen, wish(password="0123456789abcdefXYZ"))
    assert change.stdin.startswith(b"raw 0x06 0x47 0x84 0x02 0x30")
    with pytest.raises(ValueError, match="1 to 20 bytes"):
        setup_changes(seen, wish(password="x" * 21))


def test_slots_of_others_are_not_taken():
    assert choose_slot((ADMIN, EMPTY, OURS), "rackflow") == 4
    assert choose_slot((BmcUser(1, None, None, None, None, None), ADMIN, EMPTY), "new") == 3
    with pytest.raises(Refused, match="2 ADMIN, 4 rackflow"):
        choose_slot((ADMIN, OURS), "new", host="m1")


@pytest.mark.parametrize("name", ["", "a b", "a\nuser enable 2", "x" * 17, "ä"])
def test_a_user_name_can_not_carry_commands(name):
    with pytest.raises(SpecError):
        setup_changes(BmcSetup(1, LAN, (EMPTY,), None, sol=None), wish(user=name))


def test_the_proof_is_short_plain_text():
    assert proof_change("a" * 14).argv[:8] == (
        "ipmitool",
        "raw",
        "0x06",
        "0x58",
        "0x03",
        "0x00",
        "0x00",
        "0x0e",
    )
    for wrong in ("short", "a" * 13 + "'", "a" * 15):
        with pytest.raises(ValueError, match="letters and digits"):
            proof_change(wrong)


def test_user_tables_keep_empty_names_and_two_word_privileges():
    table = (
        "ID  Name\t     Callin  Link Auth\tIPMI Msg   Channel Priv Limit\n"
        "1                    true    false      true       ADMINISTRATOR\n"
        "3   (Empty User)     true    false      false      NO ACCESS\n"
        "4   two words        true    true       true       USER\n"
    )
    assert [(user.id, user.name, user.privilege) for user in users.parse(table).value.users] == [
        (1, None, "ADMINISTRATOR"),
        (3, None, "NO ACCESS"),
        (4, "two words", "USER"),
    ]


def test_access_blocks_say_who_is_enabled():
    text = (
        "Maximum User IDs     : 10\nEnabled User IDs     : 1\n\n"
        "User ID              : 2\nUser Name            : ADMIN\nLink Authentication  : enabled\n"
        "IPMI Messaging       : enabled\nPrivilege Level      : ADMINISTRATOR\n"
        "Enable Status        : enabled\n\n"
        "User ID              : 3\nUser Name            : \nPrivilege Level      : NO ACCESS\n"
    )
    first, second = users.parse(text).value.users
    assert (first.name, first.enabled, first.link_auth) == ("ADMIN", True, True)
    assert (second.name, second.enabled, second.link_auth) == (None, None, None)


@pytest.mark.parametrize("parse", [users.parse, lan.parse, mc.parse, mc.parse_guid])
@pytest.mark.parametrize("text", ["", "Invalid channel: 8\n", "Could not open device at /dev/ipmi0\n"])
def test_sentences_instead_of_tables_are_unparsable(parse, text):
    with pytest.raises(Unparsable, match="expected"):
        parse(text)
