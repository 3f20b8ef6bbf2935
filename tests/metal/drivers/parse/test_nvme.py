"""nvme-cli 1.x and 2.x: list and id-ctrl, as tables and as JSON."""

import json

import pytest

from metal.drivers.storage.nvme import parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

OLD = """\
Node             SN                   Model                                    Namespace Usage                      Format           FW Rev
---------------- -------------------- ---------------------------------------- --------- -------------------------- ---------------- --------
/dev/nvme0n1     S4INVENTED01         SAMSUNG MZQLB1T9HAJR-00007               1           1.75  TB /   1.92  TB    512   B +  0 B   EDA5202Q
/dev/nvme1n1                          Cloud Disk                               1         107.37  GB / 107.37  GB      4 KiB +  8 B   1.0
"""  # noqa: E501
NEW = """\
Node                  Generic               SN                   Model                                    Namespace  Usage                      Format           FW Rev
--------------------- --------------------- -------------------- ---------------------------------------- ---------- -------------------------- ---------------- --------
/dev/nvme0n1          /dev/ng0n1            24INVENTED02         Micron_7450_MTFDKCC3T8TFR                0x1          3.84  TB /   3.84  TB      4 KiB +  0 B   E2MU200
"""  # noqa: E501
SHIFTED = NEW.replace("24INVENTED02        ", "24INVENTED02-AND-LONGER-THAN-20")
VERBOSE = """\
Subsystem        Subsystem-NQN    Controllers
---------------- ---------------- ----------------
nvme-subsys0     nqn.2014.08      nvme0, nvme1

Device   SN           MN               FR       TxPort Address        Subsystem    Namespaces
-------- ------------ ---------------- -------- ------ -------------- ------------ ----------------
nvme0    SINVENTED3   Fast SSD 3       1.2.3    pcie   0000:01:00.0   nvme-subsys0 nvme0n1
nvme1    SINVENTED3   Fast SSD 3       1.2.3    pcie   0000:81:00.0   nvme-subsys0

Device       Generic      NSID       Usage                      Format           Controllers
------------ ------------ ---------- -------------------------- ---------------- ----------------
nvme0n1      ng0n1        0x1          0.00   B / 960.20  GB    512   B +  0 B   nvme0, nvme1
"""
ID_CTRL = """\
root@rack7:~# nvme id-ctrl -H /dev/nvme0
NVME Identify Controller:
vid       : 0x1344
sn        : 20INVENTED04
mn        : Micron_9300_MTFDHAL3T8TDP
fr        : 11300DN0
sanicap   : 0x3
  [31:30] : 0\tAdditional media modification is not defined
    [2:2] : 0\tOverwrite Sanitize Operation Not Supported
fna       : 0x4
  [2:2] : 0x1\tCrypto Erase Supported as part of Secure Erase
ps    0 : mp:25.00W operational enlat:100 exlat:100 rrt:0 rrl:0
"""
FLAT = json.dumps(
    {
        "Devices": [
            {
                "NameSpace": 1,
                "DevicePath": "/dev/nvme0n1",
                "ModelNumber": "KXG60  TOSHIBA ",
                "SerialNumber": "0000000000",
                "Firmware": "AFGA",
                "PhysicalSize": 1000,
                "SectorSize": 512,
            }
        ]
    },
    indent=1,
)


def nested(*, multipath):
    namespace = {"NameSpace": "nvme0n1", "Generic": "ng0n1", "NSID": 1, "PhysicalSize": 9, "SectorSize": 4096}
    own = {"SerialNumber": "S9", "ModelNumber": "M9", "Firmware": "F9"}
    paths = [{"Path": "nvme0c0n1", "ANAState": "optimized"}]
    controllers = [
        {"Controller": f"nvme{n}", **own, "Namespaces": [] if multipath else [namespace], "Paths": paths}
        for n in (0, 1)
    ]
    subsystem = {
        "Subsystem": "nvme-subsys0",
        "Controllers": controllers,
        "Namespaces": [namespace] if multipath else [],
    }
    return json.dumps({"Devices": [{"HostNQN": "nqn", "Subsystems": [subsystem]}]})


SAMPLES = (OLD, NEW, SHIFTED, VERBOSE, ID_CTRL, FLAT, nested(multipath=True))


def rows(text):
    return [
        (one.device, one.serial, one.model, one.size_bytes, one.lba_bytes, one.firmware)
        for one in parse(text).value.devices
    ]


def test_the_table_of_1x():
    assert rows(OLD) == [
        ("/dev/nvme0n1", "S4INVENTED01", "SAMSUNG MZQLB1T9HAJR-00007", 1920000000000, 512, "EDA5202Q"),
        ("/dev/nvme1n1", None, "Cloud Disk", 107370000000, 4096, "1.0"),
    ]


def test_the_table_of_2x_and_a_cell_wider_than_its_column():
    expected = ("/dev/nvme0n1", "24INVENTED02", "Micron_7450_MTFDKCC3T8TFR", 3840000000000, 4096, "E2MU200")
    assert rows(NEW) == [expected]
    assert rows(SHIFTED) == [(expected[0], "24INVENTED02-AND-LONGER-THAN-20", *expected[2:])]


def test_the_tables_of_a_verbose_list():
    assert rows(VERBOSE) == [("/dev/nvme0n1", "SINVENTED3", "Fast SSD 3", 960200000000, 512, "1.2.3")]


def test_an_address_over_fabrics_is_wider_than_its_column():
    fabrics = VERBOSE.replace("pcie   0000:01:00.0  ", "tcp    traddr=192.0.2.7,trsvcid=4420")
    assert rows(fabrics) == rows(VERBOSE)


def test_a_node_that_2x_did_not_find_below_dev():
    assert rows(NEW.replace("/dev/nvme0n1", "nvme0n1     ")) == rows(NEW)


def test_a_text_that_the_driver_does_not_have_is_absent():
    (one,) = rows(NEW.replace("E2MU200", "(null)"))
    assert one[-1] is None
    assert rows(FLAT.replace("AFGA", "(null)"))[0][-1] is None


def test_flat_json_and_placeholders():
    parsed = parse(f"warning on stderr\n{FLAT}")
    assert rows(FLAT) == [("/dev/nvme0n1", None, "KXG60 TOSHIBA", 1000, 512, "AFGA")]
    assert parsed.placeholders == ("devices[0].serial",)
    assert parsed.ignored == ("warning on stderr",)


@pytest.mark.parametrize("multipath", [True, False])
def test_nested_json_counts_a_namespace_once(multipath):
    assert rows(nested(multipath=multipath)) == [("/dev/nvme0n1", "S9", "M9", 9, 4096, "F9")]


def test_a_controller_and_its_ways_to_erase():
    parsed = parse(ID_CTRL)
    assert value_or_refusal("nvme", parse, ID_CTRL) == {
        "model": "Micron_9300_MTFDHAL3T8TDP",
        "serial": "20INVENTED04",
        "firmware": "11300DN0",
        "sanitize": ["crypto-erase", "block-erase"],
        "format_crypto": True,
        "placeholders": [],
        "ignored": ["root@rack7:~# nvme id-ctrl -H /dev/nvme0"],
    }
    assert parsed.value.model == "Micron_9300_MTFDHAL3T8TDP"


def test_a_controller_as_json():
    text = json.dumps({"vid": 1, "sn": "S1   ", "mn": "M1  ", "fr": "F1", "sanicap": 4, "fna": 3})
    controller = parse(text).value
    assert (controller.serial, controller.sanitize, controller.format_crypto) == ("S1", ("overwrite",), False)
    assert parse(json.dumps({"sn": "S1", "mn": "M1", "fr": "F1"})).value.format_crypto is None


@pytest.mark.parametrize(
    "text", ["No NVMe devices detected.", '{"Devices": []}', "\n".join(NEW.split("\n")[:2])]
)
def test_nothing_there_is_an_empty_list(text):
    assert parse(text).value.devices == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Failed to open /dev/nvme0: Permission denied", "line 1: expected 'Node … SN … Model'"),
        (OLD[: OLD.index("107.37")], "line 4: expected a namespace with Node"),
        (ID_CTRL[: ID_CTRL.index("mn   ")], "expected 'mn' of the controller"),
        (FLAT[:-9], "expected JSON"),
        ('{"Devices": 4}', "line 1: expected a list of Devices"),
        ('{"Devices": [4]}', "line 1: expected a device"),
        ('{"smartctl": {}}', "line 1: expected an object with Devices"),
    ],
)
def test_refusals_say_where(text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


test_nothing_but_a_value_or_a_refusal = never_anything_else("nvme", parse, SAMPLES)
