"""Marvell boot cards: commands of each operation, what is refused, and the script that lists every card."""

import subprocess
from dataclasses import replace

import pytest

from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.listing import Controller, Drive, VirtualDrive
from metal.drivers.raid.mvcli.commands import MVCLI
from metal.errors import Refused, Unparsable
from metal.protocols import Output

DRIVES = (Drive("0", "jbod", serial="RF0"), Drive("3", "jbod", serial="RF3"))
VOLUME = VirtualDrive("0", name="boot", level="raid1", members=("0", "3"))
CARD = Controller("0", "1b4b-9230", levels=("raid1",), jbod=True, drives=DRIVES)


def words(commands, tool="mvcli"):
    """Argvs after the one that chooses the card, which stands before each."""
    assert all(one.stdin is None and one.argv[0] == tool for one in commands)
    assert [one.argv[1:] for one in commands[::2]] == [("adapter", "-i", "0")] * (len(commands) // 2)
    return [" ".join(one.argv[1:]) for one in commands[1::2]]


def test_making_and_deleting():
    wish = VolumeWish("boot-mirror-1", "raid1", DRIVES, strip_bytes=65536, write_cache="back")
    assert words(MVCLI.create("mvcli", CARD, wish)) == [
        "create -o vd -r 1 -d 0,3 -n boot-mirro -b 64 --waiveconfirmation"
    ]
    assert words(MVCLI.create("mnv_cli", CARD, wish), "mnv_cli") == ["create -r 1 -d 0,3 -n boot-mirro -b 64"]
    assert words(MVCLI.create("mvcli", CARD, VolumeWish("a", "jbod", DRIVES))) == []
    assert words(MVCLI.delete_volume("mvcli", CARD, VOLUME)) == ["delete -o vd -i 0 -f --waiveconfirmation"]
    assert words(MVCLI.delete_volume("mnv_cli", CARD, VOLUME), "mnv_cli") == [
        "delete -o vd -i 0 --waiveconfirmation"
    ]


def test_what_a_boot_card_needs_nothing_for():
    assert MVCLI.prepare("mvcli", CARD, DRIVES) == ()
    assert MVCLI.boot_from("mvcli", CARD, VOLUME) == ()
    assert MVCLI.free_drive("mvcli", CARD, DRIVES[0]) == ()


@pytest.mark.parametrize(
    "operation",
    [
        lambda: MVCLI.add_spare("mvcli", CARD, VOLUME, DRIVES[0]),
        lambda: MVCLI.create("mvcli", CARD, VolumeWish("a", "raid1", (), group=VOLUME)),
        lambda: MVCLI.create("mvcli", CARD, VolumeWish("a", "raid1", DRIVES[:1], DRIVES[1:])),
        lambda: MVCLI.free_drive("mvcli", CARD, replace(DRIVES[0], state="online")),
        lambda: MVCLI.delete_volume("mvcli", replace(CARD, index=None), VOLUME),
    ],
)
def test_what_is_refused(operation):
    with pytest.raises(Refused):
        operation()


HBA = (
    "SG driver version 3.5.36.\n\nAdapter ID:  {}\nProduct: 1b4b-9230\nFirmware version: 2.5\n"
    "Supported RAID mode: RAID1 \n"
)
PD = (
    "SG driver version 3.5.36.\n\nPhysical Disk Information\n-----\nAdapter: {0}\nPD ID: 0\nType: SATA PD\n"
    "Size: 234431064 K\nSerial: RF{0}\nSSD Type: SSD\nblock ids: {1}\nPD valid size: 234365528 K\n\n"
    "Total # of PD: 1\n"
)
VD = (
    "SG driver version 3.5.36.\n\nVirtual Disk Information\n-----\nid: 0\nname: boot\nstatus: functional\n"
    "RAID mode: RAID1\nsize: 228818 M\nPD RAID setup: 0 \n\nTotal # of VD: 1\n"
)


def test_the_script_turns_to_each_card(tmp_path):
    texts = {
        "info-o-hba": HBA.format(0) + HBA.format(4), "info-o-pd-0": PD.format(0, "0 "), "info-o-vd-0": VD,
        "info-o-pd-4": PD.format(4, ""), "info-o-vd-4": "SG driver version 3.5.36.\n",
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    tool = tmp_path / "mvcli"
    tool.write_text(
        f'#!/bin/sh\ncd {tmp_path}\ncase $1 in adapter) echo "$3" >chosen; exit ;; esac\n'
        'case $3 in hba) cat info-o-hba ;; *) cat "info-o-$3-$(cat chosen)" ;; esac\n'
    )
    tool.chmod(0o755)
    (query,) = MVCLI.queries(str(tool))
    said = subprocess.run(query.argv, capture_output=True, text=True, check=False, timeout=20)
    assert (said.returncode, said.stderr) == (0, "")
    first, second = MVCLI.controllers({query.name: Output(query.argv, 0, said.stdout, "")})
    assert (first.index, second.index, first.levels) == ("0", "4", ("raid1",))
    assert [(one.serial, one.state, one.volume, one.usable_bytes) for one in first.drives] == [
        ("RF0", "online", "0", 234365528 << 10)
    ]
    assert [(one.serial, one.state, one.volume) for one in second.drives] == [("RF4", "jbod", None)]
    assert ([one.name for one in first.volumes], second.volumes) == (["boot"], ())


def answered(text, status=0):
    (query,) = MVCLI.queries("mvcli")
    return {query.name: Output(query.argv, status, text, "")}


def test_no_card_is_an_empty_list_and_a_mute_one_is_not():
    assert MVCLI.controllers(answered("SG driver version 3.5.36.\nNo Adapter Found\n", 1)) == ()
    begun = HBA.format(0) + "\nrackflow: card 0\n" + PD.format(0, "")
    assert len(MVCLI.controllers(answered(f"{begun}{VD}\nrackflow: end 0\n"))) == 1
    for text in (
        HBA.format(0),
        begun,
        begun + "SG driver version 3.5.36.\nError: Failed to open the device.\n\nrackflow: end 0\n",
        HBA.format(0) + "\nrackflow: card 1\n" + PD.format(1, "") + "\nrackflow: end 1\n",
        "",
    ):
        with pytest.raises(Unparsable):
            MVCLI.controllers(answered(text))
