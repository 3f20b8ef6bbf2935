"""ipmitool's sensors and event log, in each form and with what is no reading and no time."""

import pytest

from metal.drivers.bmc.ipmitool import sel, sensors
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal

SDR = """\
UID Light        | 0x00              | ok
Power Supply 1   | 90 Watts          | ok
Fan 1            | 33.32 percent     | ok
Temp 18          | disabled          | ns
CPU Temp         | -4 degrees C      | cr
"""
ELIST = """\
VRM 1            | 01h | ok  |  9.1 | Device Present
UID Light        | 03h | ok  | 23.1 |
Power Supply 1   | 06h | ok  | 10.1 | 0 Watts, Presence detected, Failure detected
Ambient Temp     | 0Eh | ok  |  7.1 | 24 degrees C
Fan 9            | 0Fh | ns  |  7.2 | No Reading
"""
SENSOR = """\
CPU Temp         | 35.000     | degrees C  | ok    | 0.000     | 0.000     | na        | 85.000    | 90.000
FAN2             | na         |            | na    | na        | na        | na        | na        | na
Chassis Intru    | 0x0        | discrete   | 0x0100| na        | na        | na        | na        | na
12V              | 12.192     | Volts      | ok    | 10.173    | 10.299    | 10.740    | 12.945    | 13.260
"""
CSV = """\
Error Response 0xc1 from Get PICMG Properities
Event Log,E6h,ok,6.1,
CPU_0,A8h,ok,3.1,Presence detected
Temp_CPU0,35,% degrees C,ok,65.1,Processor,Temperature,,,,,104.000,101.000
P12V,12.120,Volts,ok
NVMe_0,,,ns,7.16,System Board,Temperature
"""
LONG = """\
Sensor ID              : Ambient Temp (0xe)
 Entity ID             : 7.1 (System Board)
 Sensor Type (Threshold)  : Temperature (0x01)
 Sensor Reading        : 24.5 (+/- 1) degrees C
 Status                : ok
 Upper critical        : 47.000

Sensor ID              : Intrusion (0x73)
 Sensor Type (Discrete): Physical Security (0x05)
 States Asserted       : Physical Security
"""
SEL = """\
   1 | 05/27/2014 | 21:20:43 | Event Logging Disabled #0x07 | Log area reset/cleared | Asserted
   a |  Pre-Init  |0000000012| Power Supply #0x51 | Power Supply AC lost | Deasserted
  1f | 11/26/24 | 09:12:27 PM UTC | Temperature CPU1 | Upper Critical going high | Asserted | Reading 95
  20 | 11/26/2024 | 09:12:28 | OEM record df | 000157 | 02104041ffff
  21 | OEM record f1 | 0a0b0c0d
"""
SEL_CSV = "1,05/27/2014,21:20:43,Power Unit #0x02,Fully Redundant,Deasserted\n10,,,OEM record e0,0102\n"
SEL_LONG = """\
SEL Record ID          : 0012
 Record Type           : 02
 Timestamp             : 03/20/2021 00:58:40
 Sensor Type           : System Firmware Error
 Sensor Number         : 11
 Event Direction       : Assertion Event
 Event Data (RAW)      : a00221
 Description           : No usable system memory

SEL Record ID          : 0013
 Record Type           : c1  (OEM timestamped)
 Timestamp             : 03/20/2021 00:58:41
 OEM Defined           : 010203 [...]
"""


def readings(text):
    return [(one.name, one.value, one.unit, one.state) for one in sensors.parse(text).value.sensors]


def test_the_short_form():
    assert readings(SDR) == [
        ("UID Light", None, None, "ok"),
        ("Power Supply 1", 90, "Watts", "ok"),
        ("Fan 1", 33.32, "percent", "ok"),
        ("Temp 18", None, None, "ns"),
        ("CPU Temp", -4, "degrees C", "cr"),
    ]


def test_the_extended_form_has_numbers_among_states():
    assert readings(ELIST) == [
        ("VRM 1", None, None, "ok"),
        ("UID Light", None, None, "ok"),
        ("Power Supply 1", 0, "Watts", "ok"),
        ("Ambient Temp", 24, "degrees C", "ok"),
        ("Fan 9", None, None, "ns"),
    ]


def test_the_form_with_thresholds():
    assert readings(SENSOR) == [
        ("CPU Temp", 35.0, "degrees C", "ok"),
        ("FAN2", None, None, "na"),
        ("Chassis Intru", None, None, "0x0100"),
        ("12V", 12.192, "Volts", "ok"),
    ]


@pytest.mark.parametrize(
    "row",
    [
        "Disk Load | 20 unspecified | ok",
        "Disk Load | 20.000 | unspecified | ok | na",
        "Disk Load,20,unspecified,ok",
    ],
)
def test_a_unit_that_is_not_specified_is_none(row):
    assert readings(row + "\n") == [("Disk Load", 20, None, "ok")]


def test_a_sensor_without_a_reading_still_has_its_unit():
    assert readings("FAN3 | na | RPM | na | 300.000 | 500.000 | na | na | na | na\n") == [
        ("FAN3", None, "RPM", "na")
    ]


def test_csv_with_noise_before_it():
    assert readings(CSV) == [
        ("Event Log", None, None, "ok"),
        ("CPU_0", None, None, "ok"),
        ("Temp_CPU0", 35, "degrees C", "ok"),
        ("P12V", 12.12, "Volts", "ok"),
        ("NVMe_0", None, None, "ns"),
    ]
    assert sensors.parse(CSV).ignored == ("Error Response 0xc1 from Get PICMG Properities",)


def test_the_long_form():
    assert readings(LONG) == [("Ambient Temp", 24.5, "degrees C", "ok"), ("Intrusion", None, None, None)]


def test_a_repository_without_a_listing_has_no_sensor_to_tell():
    assert readings("SDR Version                         : 0x51\nRecord Count : 95\n") == []


def test_records_have_hexadecimal_ids_and_iso_times():
    log = value_or_refusal("ipmitool-sel", sel.parse, SEL)
    assert log["count"] is None
    assert [(one["id"], one["time"], one["direction"]) for one in log["entries"]] == [
        (1, "2014-05-27T21:20:43", "asserted"),
        (10, None, "deasserted"),
        (31, "2024-11-26T21:12:27", "asserted"),
        (32, "2024-11-26T09:12:28", None),
        (33, None, None),
    ]
    assert log["entries"][1]["sensor"] == "Power Supply #0x51"
    assert log["entries"][2]["event"] == "Upper Critical going high"
    assert (log["entries"][3]["sensor"], log["entries"][3]["event"]) == (
        "OEM record df",
        "000157 02104041ffff",
    )


def test_records_as_csv():
    first, second = sel.parse(SEL_CSV).value.entries
    assert (first.id, first.sensor, first.event) == (1, "Power Unit #0x02", "Fully Redundant")
    assert (second.id, second.sensor, second.event, second.time) == (16, "OEM record e0", "0102", None)


def test_the_long_form_of_records_names_the_sensor_as_the_short_one():
    first, second = sel.parse(SEL_LONG).value.entries
    assert (first.id, first.time) == (18, "2021-03-20T00:58:40")
    assert (first.sensor, first.event) == ("System Firmware Error #0x11", "No usable system memory")
    assert first.direction == "asserted"
    assert (second.id, second.event) == (19, "010203 [...]")


def test_times_in_other_orders_and_impossible_ones():
    row = "1 | {} | System Event #0x01 | Timestamp Clock Sync | Asserted\n"
    times = {
        "2024-02-29 | 23:59:59": "2024-02-29T23:59:59",
        "27/05/2014 | 12:00:00 AM": "2014-05-27T00:00:00",
        "27.05.2014 | 12:00:01": "2014-05-27T12:00:01",
        "02/30/2024 | 10:00:00": None,
        "Pre-Init Time-stamp   ": None,
        "S+ 70/001 | 00:00:32 UTC": None,
        "2023年02月03日 | 10时11分12秒 CST": "2023-02-03T10:11:12",
        "2023년 02월 03일 | 10시 11분 12초 KST": "2023-02-03T10:11:12",
    }
    assert {told: sel.parse(row.format(told)).value.entries[0].time for told in times} == times


def test_an_empty_log_and_its_count():
    assert value_or_refusal("ipmitool-sel", sel.parse, "SEL has no entries\n")["entries"] == []
    info = "SEL Information\nVersion          : 1.5 (v1.5, v2 compliant)\nEntries          : 545\n"
    assert sel.parse(info).value == sel.EventLog((), 545)


def test_a_later_record_of_an_id_holds():
    (entry,) = sel.parse(SEL.splitlines()[0] + "\n" + SEL_CSV.splitlines()[0]).value.entries
    assert entry.event == "Fully Redundant"


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (sensors.parse, "Unable to obtain SDR reservation\n", "line 1: expected a sensor's name"),
        (sensors.parse, SDR + "Temp 19   | 22 deg", "line 6: expected a whole row"),
        (sensors.parse, "Sensor ID : (0x1)\n", "line 1: expected a sensor's name"),
        (sel.parse, "Get SEL Info command failed\n", "line 1: expected a record"),
        (sel.parse, SEL + "  22 | 11/26/2024", "line 6: expected a whole row"),
        (sel.parse, "SEL Record ID : what\n", "line 1: expected a record's number"),
    ],
)
def test_refusals_say_where(parse, text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


@pytest.mark.parametrize("parse", [sensors.parse, sel.parse])
def test_a_line_beyond_any_size_is_no_row(parse):
    with pytest.raises(Unparsable):
        parse("Temp," + "1" * 200_000)
    with pytest.raises(Unparsable):
        parse("Sensor ID" + " " * 200_000 + "x")


def test_a_prompt_with_a_pipe_at_the_end_is_no_cut_row():
    assert len(readings(SDR + "[root@h ~]# ipmitool sdr | tail\n")) == 5


test_any_sensors = never_anything_else("ipmitool-sdr", sensors.parse, (SDR, ELIST, SENSOR, CSV, LONG))
test_any_log = never_anything_else("ipmitool-sel", sel.parse, (SEL, SEL_CSV, SEL_LONG))
