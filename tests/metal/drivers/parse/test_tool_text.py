"""Numbered lines, JSON among banners, sizes."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metal.drivers.parsed import Parsed, as_json
from metal.drivers.raid.listing import Controller, Drive, Listing, wwn_text
from metal.drivers.tool_text import command_of, json_documents, key_value, lines_of, number, size_bytes
from metal.errors import Unparsable


def test_lines_are_numbered_and_freed_of_escapes():
    lines = lines_of("tool", "\ufeffone\r\n\x1b[1m two\x1b[0m\n")
    assert [(line.number, line.text) for line in lines[:2]] == [(1, "one"), (2, " two")]
    assert lines[1].indent == 1


def test_an_answered_mail_is_read_as_what_it_quotes():
    lines = lines_of("tool", "> one\n>  two\n>\n> three\n")
    assert [line.text for line in lines] == ["one", " two", "", "three", ""]
    assert [line.text for line in lines_of("tool", "> tool show\n> tool all\n")][:1] == ["> tool show"]
    assert [line.text for line in lines_of("tool", "> tool show\none\n> x\n> y\n")][:1] == ["> tool show"]


def test_what_a_page_shows_indented_is_read_from_its_margin():
    lines = lines_of("tool", "\n    one\n\n\n      two\n    three\n")
    assert [line.text for line in lines] == ["", "one", "", "", "  two", "three", ""]
    assert [line.text for line in lines_of("tool", "   one\n two\n\tthree\n")][:3] == [
        "   one",
        " two",
        "\tthree",
    ]


@pytest.mark.parametrize("text", ["", " \n\t\n", "\x1b[0m\n"])
def test_nothing_is_refused(text):
    with pytest.raises(Unparsable, match="line 1: expected the output of tool, found 'nothing'"):
        lines_of("tool", text)


def test_json_is_taken_from_between_other_lines():
    read = json_documents("tool", '[root@host ~]# tool\n{"a":\n 1}\nnoise\n[1, 2]\n[]')
    assert [(one.line, one.value) for one in read.found] == [(2, {"a": 1}), (5, [1, 2]), (6, [])]
    assert read.ignored == ("[root@host ~]# tool", "noise")


def test_a_comma_behind_the_last_entry_is_read_past():
    read = json_documents("tool", '{"a": [1, 2,\n],\n"b": ",]",}\n[3]')
    assert [(one.line, one.value) for one in read.found] == [(1, {"a": [1, 2], "b": ",]"}), (4, [3])]
    with pytest.raises(Unparsable, match="line 2"):
        json_documents("tool", '{"a": [1, 2,],\n"b": ')


def test_cut_json_is_refused_where_it_ends():
    with pytest.raises(Unparsable, match=r"tool: line 2: expected JSON \(.*found 'the end of the text'"):
        json_documents("tool", 'noise\n{"a": 1,')


def test_json_of_endless_depth_is_refused():
    with pytest.raises(Unparsable):
        json_documents("tool", "[" * 100_000)


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ("446.625 GB", False, 479_559_942_144),
        ("300 GB", True, 300_000_000_000),
        ("931.0 GiB", True, 999_653_638_144),
        ("4 KB", False, 4096),
        ("512B", False, 512),
        ("1,000 MB", True, 1_000_000_000),
        ("big", False, None),
        (None, False, None),
    ],
)
def test_sizes(text, decimal, expected):
    assert size_bytes(text, decimal=decimal) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("12 drives", 12), ("0x1a", 26), ("1.5", None), ("x", None), (None, None)]
)
def test_numbers(text, expected):
    assert number(text) == expected


def test_key_and_value():
    (line,) = lines_of("tool", "  Serial No :  A:1 ")
    assert key_value(line) == ("Serial No", "A:1")
    assert key_value(line, "=") is None


def test_as_json_has_every_field():
    listing = Listing("storcli", controllers=(Controller("0", drives=(Drive("252:0"),)),))
    told = Parsed(listing, ignored=("noise",)).as_json()
    assert told["controllers"][0]["drives"][0]["address"] == "252:0"
    assert told["outcome"] is None
    assert told["ignored"] == ["noise"]
    assert as_json({"a": (1, None)}) == {"a": [1, None]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0x5000C500A1B2C3D4", "5000c500a1b2c3d4"), ("50 00 c5", "5000c5"), ("0" * 16, None), ("N/A", None)],
)
def test_wwns(text, expected):
    assert wwn_text(text) == expected


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("[root@node7 ~]# tool show", "tool show"),
        ("#root@node7:~#  /usr/sbin/tool show", "/usr/sbin/tool show"),
        ("node7:~ # tool show", "tool show"),
        ("=> show all", "show all"),
        ("=>", ""),
        ("# /opt/x/tool64 0 SHOW", "/opt/x/tool64 0 SHOW"),
        ("$ sudo tool show", "tool show"),
        ("/opt/x/tool show", "/opt/x/tool show"),
        ("#", ""),
        ("# of ports:      3", None),
        ("Key : value", None),
        ("tool: not found", None),
    ],
)
def test_commands_at_prompts(line, command):
    (found,) = lines_of("tool", line)
    assert command_of(found, ("tool",)) == command


def test_a_number_that_is_too_long_for_a_size_is_none():
    assert size_bytes("9" * 400 + " GB") is None


@given(st.text())
def test_any_text_gives_lines_or_is_refused(text):
    with contextlib.suppress(Unparsable):
        assert lines_of("tool", text)
        assert json_documents("tool", text)
