"""Integrated RAID: commands of each operation, what is refused, and the script that lists every adapter."""

import subprocess
from dataclasses import replace

import pytest

from metal.drivers.raid.family import VolumeWish
from metal.drivers.raid.ircu.commands import SAS2IRCU, SAS3IRCU
from metal.drivers.raid.listing import Controller, Drive, VirtualDrive
from metal.errors import Refused, Unparsable
from metal.protocols import Output

MIB = 1 << 20
DRIVES = tuple(Drive(f"2:{n}", "jbod", serial=f"RF{n}") for n in range(8))
PAIR = VirtualDrive("322", name="boot", level="raid1", members=("2:0", "2:1"))
IR = Controller("1", "SAS3008", jbod=True, drives=DRIVES, volumes=(PAIR,))
IT = replace(IR, levels=("jbod",), volumes=())


def words(commands):
    assert all(one.argv[:2] == ("sas3ircu", "1") and one.stdin is None for one in commands)
    return [" ".join(one.argv[2:]) for one in commands]


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (VolumeWish("boot", "raid1", DRIVES[:2]), ["CREATE RAID1 MAX 2:0 2:1 boot noprompt"]),
        (VolumeWish("", "raid0", DRIVES[:2]), ["CREATE RAID0 MAX 2:0 2:1 noprompt"]),
        (
            VolumeWish("data", "raid1e", DRIVES[:3], DRIVES[4:6], size_bytes=500 * MIB, write_cache="back"),
            ["CREATE RAID1E 500 2:0 2:1 2:2 data noprompt", "HOTSPARE 2:4", "HOTSPARE 2:5"],
        ),
        (VolumeWish("plain", "jbod", DRIVES[:2]), []),
    ],
)
def test_making_volumes(wish, expected):
    assert words(SAS3IRCU.create("sas3ircu", IR, wish)) == expected


def test_other_operations():
    spare = replace(DRIVES[5], state="spare")
    assert words(SAS3IRCU.delete_volume("sas3ircu", IR, PAIR)) == ["DELETEVOLUME 322 noprompt"]
    assert words(SAS3IRCU.boot_from("sas3ircu", IR, PAIR)) == ["BOOTIR 322"]
    assert words(SAS3IRCU.add_spare("sas3ircu", IR, PAIR, DRIVES[4])) == ["HOTSPARE 2:4"]
    assert words(SAS3IRCU.free_drive("sas3ircu", IR, DRIVES[4])) == []
    assert words(SAS3IRCU.prepare("sas3ircu", IR, (*DRIVES[:2], spare))) == ["HOTSPARE DELETE 2:5"]


def test_a_controller_is_never_cleared():
    sent = [
        *SAS3IRCU.delete_volume("sas3ircu", IR, PAIR),
        *SAS3IRCU.free_drive("sas3ircu", IR, replace(DRIVES[0], state="spare")),
    ]
    assert all(one.argv[2] != "DELETE" for one in sent)


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (lambda: SAS3IRCU.create("sas3ircu", IT, VolumeWish("a", "raid1", DRIVES[:2])), "IT firmware"),
        (lambda: SAS3IRCU.create("sas3ircu", IR, VolumeWish("a", "raid1", (), group=PAIR)), "for itself"),
        (lambda: SAS3IRCU.free_drive("sas3ircu", IR, replace(DRIVES[0], state="online")), "is online"),
        (lambda: SAS3IRCU.delete_volume("sas3ircu", IR, replace(PAIR, id=None)), "no id"),
    ],
)
def test_what_is_refused(operation, told):
    with pytest.raises(Refused, match=told):
        operation()


BANNER = "LSI Corporation SAS2 IR Configuration Utility.\nVersion 20.00.00.00 (2014.09.18)\n\n"
ROW = "   {}     SAS2308_2   1000h    87h   00h:0{}h:00h:00h      1028h   1f38h\n"


def display(index, volume="", support="Yes", closing="SAS2IRCU: Command DISPLAY Completed Successfully.\n"):
    rule = "-" * 72
    return (
        f"{BANNER}Read configuration has been initiated for controller {index}\n{rule}\n"
        f"Controller information\n{rule}\n  Controller type : SAS2308_2\n  Firmware version : 20.00.07.00\n"
        f"  RAID Support : {support}\n{rule}\nIR Volume information\n{rule}\n{volume}{closing}"
    )


VOLUME = (
    "IR volume 1\n  Volume ID : 286\n  Status of volume : Degraded (DGD)\n"
    "  Volume wwid : 0825cbe1673b777f\n  RAID level : RAID1\n  Physical hard disks :\n"
)
STATUS = (
    f"{BANNER}Background command progress status for controller 0...\nIR Volume 1\n  Volume ID : 286\n"
    "  Current operation : Synchronize\n  Volume state : Degraded\n  Physical disk I/Os : Not quiesced\n"
    "  Percentage complete : 4.19%\nSAS2IRCU: Command STATUS Completed Successfully.\n"
)


def test_the_script_asks_each_adapter_and_the_state_of_tasks_only_where_there_is_a_volume(tmp_path):
    listed = (
        f"{BANNER} Index\n{ROW.format(0, 3)}{ROW.format(1, 8)}SAS2IRCU: Utility Completed Successfully.\n"
    )
    texts = {"LIST": listed, "0-DISPLAY": display(0, VOLUME), "1-DISPLAY": display(1), "0-STATUS": STATUS}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    tool = tmp_path / "sas2ircu"
    tool.write_text(f'#!/bin/sh\ncd {tmp_path} && cat "$(echo "$*" | tr " " -)"\n')
    tool.chmod(0o755)
    (query,) = SAS2IRCU.queries(str(tool))
    said = subprocess.run(query.argv, capture_output=True, text=True, check=False, timeout=20)
    assert said.stderr == "", "STATUS of adapter 1 is not asked for"
    answer = Output(query.argv, said.returncode, said.stdout, said.stderr)
    first, second = SAS2IRCU.controllers({query.name: answer})
    assert (first.index, first.pci, second.index, second.pci) == ("0", "0000:03:00.0", "1", "0000:08:00.0")
    (volume,) = first.volumes
    assert (volume.id, volume.state, volume.progress) == ("286", "initialising", 4.19)
    assert volume.wwn == "600508e0000000007f773b67e1cb2508"


def answered(text, status=0):
    (query,) = SAS2IRCU.queries("sas2ircu")
    return {query.name: Output(query.argv, status, text, "")}


def test_no_adapter_is_an_empty_list_and_a_mute_one_is_not():
    assert SAS2IRCU.controllers(answered(f"{BANNER}SAS2IRCU: MPTLib2 Error 1\n", 1)) == ()
    listed = f"{BANNER}{ROW.format(0, 3)}SAS2IRCU: Utility Completed Successfully.\n"
    assert SAS2IRCU.controllers(answered(listed + display(0, support="No")))[0].levels == ("jbod",)
    for text in (
        listed,
        listed + display(0, closing=""),
        listed + BANNER + "SAS2IRCU: Error executing command DISPLAY.\n",
        f"{BANNER}SAS2IRCU: MPTLib2 Error 3\n",
        "",
    ):
        with pytest.raises(Unparsable):
            SAS2IRCU.controllers(answered(text))
