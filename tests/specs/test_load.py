"""Reading spec files: all findings at once with their places; no file can do the reader harm."""

from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specs.load import load_files, load_tree, resolve
from specs.model import Host
from specs.tree import MAX_DEPTH, MAX_FILE_BYTES, MAX_NODES

HOST = "apiVersion: rackflow/v1\nkind: Host\nmetadata: {name: web-01}\n"


def findings(body: str, head: str = HOST) -> list[str]:
    return [str(one) for one in load_files({"a.yaml": head + dedent(body)}).findings]


@pytest.mark.parametrize(
    ("body", "finding"),
    [
        (
            "rootDevise: {raid: system}",
            "a.yaml:4:1: rootDevise: unknown key 'rootDevise' (did you mean rootDevice?)",
        ),
        (
            "match: {serial: 12345}",
            "a.yaml:4:9: match.serial: expected text, got the number 12345 (put it in quotes)",
        ),
        ("management: 5", "a.yaml:4:1: management: expected true or false, got the number 5"),
        ("users: ops", "a.yaml:4:1: users: expected a list, got 'ops'"),
        ("firmware: uefi", "a.yaml:4:1: firmware: expected a mapping, got 'uefi'"),
        (
            "firmware: {bootMode: uefy}",
            "a.yaml:4:12: firmware.bootMode: expected bios or uefi, got 'uefy' (did you mean uefi?)",
        ),
        (
            "raid: [{name: a, level: raid1, drives: {count: two}}]",
            "a.yaml:4:41: raid[0].drives.count: expected a whole number or all, got 'two'",
        ),
        (
            "disks: [{device: root, partitions: [{name: a, size: 40}]}]",
            ("a.yaml:4:47: disks[0].partitions[0].size: "
            "a size needs a unit: write 40GiB or 40GB, not 40"),
        ),
        (
            "users: [{name: ops, passwordFrom: {secrt: x}}]",
            "a.yaml:4:36: users[0].passwordFrom.secrt: unknown key 'secrt' (did you mean secret?)",
        ),
        (
            "users: [{name: ops, passwordFrom: generate}]",
            ("a.yaml:4:21: users[0].passwordFrom: expected generated or a mapping, got 'generate' "
            "(did you mean generated?)"),
        ),
        (
            "network: {ethernets: {nic0: {addresses: [10.1.1.300/24]}}}",
            ("a.yaml:4:42: network.ethernets.nic0.addresses[0]: expected an IPv4 address with prefix "
            "such as 10.77.1.21/24 or an IPv6 address with prefix such as fd00:77::21/64 or a mapping, "
            "got '10.1.1.300/24'"),
        ),
        ("users: [{sudo: true}]", "a.yaml:4:9: users[0].name: name is missing (add name)"),
        (
            "files: [{path: /a}]",
            "a.yaml:4:9: files[0]: a file needs exactly one of content, source, secret; got none",
        ),
        ("power: on\npower: off", "a.yaml:5:1: power: 'power' is given twice, first in line 4 (keep one)"),
        (
            "a: &x [1]\nb: *x",
            ("a.yaml:5:4: : not YAML that can be read: alias *x is not read in specs "
            "(put shared fields into a Profile and name it in extends)"),
        ),
        (
            "a: [1",
            ("a.yaml:5:1: : not YAML that can be read: while parsing a flow sequence, expected ',' or ']', "
            "but got '<stream end>' (check indentation, quotes and brackets)"),
        ),
        (
            "hostname: !!python/name:os.system x",
            ("a.yaml:4:11: hostname: tag 'tag:yaml.org,2002:python/name:os.system' "
             "is not read in specs (remove the tag)"),
        ),
    ],
)  # fmt: skip
def test_a_finding_names_place_expectation_and_fix(body: str, finding: str) -> None:
    assert finding in findings(body + "\n")


def test_all_findings_of_all_files_come_at_once_and_sorted() -> None:
    result = load_files({"b.yaml": HOST + "usrs: []\n", "a.yaml": HOST + "power: 7\nhostnam: x\n"})
    assert [(one.file, one.line, one.path) for one in result.findings] == [
        ("a.yaml", 4, "power"),
        ("a.yaml", 5, "hostnam"),
        ("b.yaml", 4, "usrs"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: Hosst\nmetadata: {name: a}\n", "expected one of Host, Profile, Site, Image; got 'Hosst'"),
        ("metadata: {name: a}\n", "expected one of Host, Profile, Site, Image; it is missing"),
        ("- a\n", "expected a document with kind and metadata"),
        ("kind: Host\n", "metadata is missing"),
        (b"kind: \xff\n", "expected UTF-8 text, got byte 0xff"),
        ("kind: \x07\n", "a character that YAML forbids: special characters are not allowed"),
        ("x" * (MAX_FILE_BYTES + 1), f"{MAX_FILE_BYTES + 1} bytes, at most {MAX_FILE_BYTES} are read"),
        ("[" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} levels deep"),
        ("[" + "1," * MAX_NODES + "]", f"more than {MAX_NODES} values"),
    ],
)
def test_what_is_no_spec_is_one_finding(text: str | bytes, message: str) -> None:
    (finding,) = load_files({"a.yaml": text}).findings
    assert message in finding.message


def test_scalars_that_yaml_1_1_misreads() -> None:
    body = """\
        match: {mac: 52:54:00:17:01:00}
        rootDevice: {wwn: 0x5000c50077020000}
        power: off
        files: [{path: /a, content: x, mode: 0600}]
        image: null
        """
    result = load_files({"a.yaml": HOST + dedent(body)})
    host = result.documents[0].document
    assert result.findings == ()
    assert isinstance(host, Host)
    assert host.match is not None
    assert host.match.mac == "52:54:00:17:01:00"
    assert host.root_device is not None
    assert (host.root_device.wwn, host.power, host.files[0].mode) == ("0x5000c50077020000", "off", "0600")


def test_a_yaml_file_that_a_host_copies_is_no_spec() -> None:
    body = HOST + "files: [{path: /etc/netplan.yaml, source: files/n.yaml}]\n"
    result = load_files({"a.yaml": body, "files/n.yaml": "network: {version: 2}\n"})
    assert result.findings == ()
    assert len(result.documents) == 1


@settings(deadline=None)  # a shared machine stalls for longer than any step takes
@given(st.binary(max_size=300))
def test_any_bytes_give_documents_or_findings(data: bytes) -> None:
    result = load_files({"a.yaml": data})
    assert all(one.line >= 1 and one.column >= 1 for one in result.findings)


@settings(deadline=None)  # a shared machine stalls for longer than any step takes
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["name", "match", "disks", "users", "size", "raid", "device"]), inner)
), max_leaves=12))  # fmt: skip
def test_any_values_below_a_host_give_findings(value: object) -> None:
    import json  # noqa: PLC0415 - JSON is YAML; only this test writes any

    fields = json.dumps(value)
    text = f'{{"kind": "Host", "metadata": {{"name": "a"}}, "disks": {fields}, "match": {fields}}}'
    loaded = load_files({"a.yaml": text})
    assert loaded.findings or isinstance(loaded.documents[0].document, Host)
    resolve(loaded)


def test_a_folder_is_read_without_hidden_and_outside_files(tmp_path: Path) -> None:
    outside = tmp_path / "secret.yaml"
    outside.write_text("kind: Host\n")
    root = tmp_path / "specs"
    (root / "hosts").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / ".git" / "x.yaml").write_text("kind: Host\n")
    (root / "link.yaml").symlink_to(outside)
    (root / "motd").write_text("hello")
    source = "files: [{path: /etc/motd, source: motd}, {path: /b, source: ../secret.yaml}]\n"
    (root / "hosts" / "a.yml").write_text(HOST + source)
    result = load_tree(root)
    assert sorted(result.files) == ["hosts/a.yml", "motd"]
    assert [one.message for one in resolve(result).findings] == ["the set has no file '../secret.yaml'"]


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    assert "no *.yaml or *.yml file is here" in load_tree(tmp_path).findings[0].message


def test_a_folder_that_is_not_there_says_so(tmp_path: Path) -> None:
    (finding,) = load_tree(tmp_path / "nowhere").findings
    assert finding.message == "cannot be read: No such file or directory"
