"""storcli's J form: both generations, what is nested, what is broken."""

import json

import pytest

from metal.drivers.raid.listing import Condition, Outcome
from metal.drivers.raid.storcli import parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else

DRIVE = {
    "EID:Slt": "252:0",
    "DID": 7,
    "State": "Onln",
    "DG": 0,
    "Size": "893.750 GB",
    "Intf": "SATA",
    "Med": "SSD",
    "SED": "N",
    "PI": "N",
    "SeSz": "512B",
    "Model": "ACME  5300   ",
    "Sp": "U",
    "Type": "-",
}
VOLUME = {"DG/VD": "0/0", "TYPE": "RAID6", "State": "Optl", "Access": "RW", "Size": "1.745 TB", "Name": ""}
DRIVE2 = {
    "EID:Slt": "292:0",
    "PID": 275,
    "State": "Conf",
    "Status": "Online",
    "DG": 0,
    "Size": "446.625 GiB",
    "Intf": "SATA",
    "Med": "SSD",
    "SeSz": "512B",
    "Model": "ACME 480",
}


def answer(data=None, controller=0, status="Success", description="None", **more):
    told = {"Controller": controller, "Status": status, "Description": description} | more
    return {"Command Status": told} | ({} if data is None else {"Response Data": data})


def text(*answers, **layout):
    return json.dumps({"Controllers": list(answers)}, **layout)


LISTING = text(
    answer(
        {
            "Basics": {"Model": "RackRAID 420", "Serial Number": "RF0001", "PCI Address": "00:02:00:00"},
            "Version": {"Firmware Version": "4.680.00-8417"},
            "Status": {"Controller Status": "Optimal", "BBU Status": 32},
            "Capabilities": {"RAID Level Supported": "RAID0, RAID50, \nRAID60", "Enable SystemPD": "No"},
            "VD LIST": [VOLUME],
            "PD LIST": [DRIVE, DRIVE | {"EID:Slt": " :1", "State": "-", "DG": "-"}],
            "BBU_Info": [{"Model": "BBU", "State": "Dgd", "Temp": "27C"}],
        }
    ),
    indent=1,
)


def only(source):
    (controller,) = parse(source).value.controllers
    return controller


def test_a_listing():
    controller = only("\n\nwarning: a log file is not written\n" + LISTING + "\n[root@node ~]#\n")
    first, second = controller.drives
    assert (controller.model, controller.firmware, controller.pci) == (
        "RackRAID 420",
        "4.680.00-8417",
        "0000:02:00.0",
    )
    assert (controller.levels, controller.jbod) == (("raid0", "raid50", "raid60"), False)
    assert (first.volume, first.model) == ("0", "ACME 5300")
    assert (second.address, second.state, second.raw_state, second.volume) == (":1", None, None, None)
    assert controller.volumes[0].members == ("252:0",)
    assert controller.conditions == (
        Condition("battery", "BBU_Info BBU: Dgd"),
        Condition("battery", "BBU Status = 32"),
    )


def test_what_is_around_the_document_is_told():
    assert parse("warning: no log\n" + LISTING).ignored == ("warning: no log",)


def test_line_breaks_inside_a_text_are_taken():
    assert only(LISTING.replace(r"\n", "\n")).levels == ("raid0", "raid50", "raid60")


def test_storcli2_lists_volumes_as_objects_of_objects():
    source = text(
        answer(
            {
                "Virtual Drives": [
                    {
                        "VD Info": VOLUME | {"DG/VD": "0/1", "Size": "5.233 TiB"},
                        "PDs": [DRIVE2],
                        "VD Properties": {
                            "Strip Size": "64 KiB",
                            "Block Size": 4096,
                            "Number of Blocks": 1404960768,
                            "Cache Preserved": "Yes",
                        },
                    }
                ]
            },
            controller="0",
        )
    )
    controller = only(source)
    (volume,) = controller.volumes
    assert (volume.id, volume.size_bytes, volume.stripe_bytes) == ("1", 1404960768 * 4096, 65536)
    assert volume.members == ("292:0",)
    assert controller.drives[0].volume == "1"
    assert controller.conditions == (Condition("preserved-cache", "VD 1 Cache Preserved = Yes"),)


def test_storcli2_lists_drives_as_objects_of_objects():
    details = {
        "Serial Number": "RF-S1",
        "Vendor": "ATA     ",
        "WWN": "0x500A075100000001",
        "Firmware Revision Level": " D4",
        "Logical Sector Size": "512B",
        "Raw size": "447.130 GiB [0x37e436b0 Sectors]",
        "LU/NS Properties": {"Media Error Count": 2, "Predictive Failure Count": 0},
    }
    source = text(
        answer({"Drives List": [{"Drive Information": DRIVE2, "Drive Detailed Information": details}]})
    )
    controller = only(source)
    (drive,) = controller.drives
    assert (drive.serial, drive.firmware, drive.state) == ("RF-S1", "D4", "online")
    assert drive.size_bytes == 0x37E436B0 * 512
    assert controller.conditions == (Condition("media-errors", "292:0 Media Error Count = 2"),)


def test_hpe_prints_drives_in_thousands_and_volumes_in_gib():
    source = text(
        answer({"VD LIST": [VOLUME | {"Size": "744.687 GiB"}], "PD LIST": [DRIVE | {"Size": "800.00 GB"}]})
    )
    controller = only(source)
    assert controller.drives[0].size_bytes == 800_000_000_000
    assert controller.volumes[0].size_bytes == round(744.687 * (1 << 30))


def test_a_progress_list_stands_below_response_data_itself():
    rows = [
        {
            "Drive-ID": "/c0/e252/s7",
            "Progress%": 9,
            "Status": "In progress",
            "Estimated Time Left": "49 Minutes",
        },
        {
            "Drive-ID": "/c0/e252/s8",
            "Progress%": "-",
            "Status": "Not in progress",
            "Estimated Time Left": "-",
        },
    ]
    controller = only(text(answer(rows, description="Show Drive Erase Status Succeeded.")))
    assert [(one.address, one.state, one.progress) for one in controller.drives] == [
        ("252:7", "erasing", 9),
        ("252:8", None, None),
    ]


def test_a_failure_with_data_gives_both():
    foreign = answer({"PD LIST": [DRIVE]}, status="Failure", description="Incomplete foreign configuration")
    found = parse(text(foreign)).value
    assert found.outcome == Outcome(False, None, "Incomplete foreign configuration")
    assert [drive.address for drive in found.controllers[0].drives] == ["252:0"]
    assert [one.kind for one in found.controllers[0].conditions] == ["foreign-config"]


def test_several_documents_are_one_reading():
    second = text(answer({"PD LIST": [DRIVE | {"State": "Offln"}]}))
    controller = only(LISTING + "\n" + second)
    assert [(one.address, one.state) for one in controller.drives] == [("252:0", "offline")]
    assert controller.model == "RackRAID 420"


def test_rows_of_another_kind_and_odd_values_are_left_out():
    source = text(
        answer(
            {
                "Drives": [{"EID:Slt": None}, {"EID:Slt": "-", "State": "-"}, 7],
                "Enclosure LIST": [{"EID": 252, "State": "OK", "PD": 8}],
                "x": True,
            }
        )
    )
    assert parse(source).value.controllers == ()


def test_no_controllers():
    assert parse('{"Controllers": []}').value.controllers == ()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (LISTING[: len(LISTING) // 2], "JSON"),
        ('{"blockdevices": []}', 'an object with "Controllers"'),
        (text(answer({"PD LIST": [DRIVE | {"EID:Slt": "back"}]})), "an enclosure and slot"),
        (text(answer({"VD LIST": [VOLUME | {"DG/VD": "0/x"}]})), "a group and volume"),
        ('{"Controllers": [7]}', 'controllers with a "Command Status"'),
        ('{"Controllers": [{"Command Status": {"Controller": 0}}]}', 'a "Status" in each Command Status'),
    ],
)
def test_what_is_refused(source, expected):
    with pytest.raises(Unparsable, match=f"storcli: line \\d+: expected {expected}"):
        parse(source)


test_never_anything_else = never_anything_else("storcli", parse, [LISTING])
