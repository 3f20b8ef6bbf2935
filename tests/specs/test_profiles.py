"""Merging: maps by key, the named lists by their name, other lists replaced, null removes, the host wins."""

from textwrap import dedent

from specs.load import load_files, resolve

PROFILES = """\
    kind: Profile
    metadata: {name: base}
    firmware: {bootMode: uefi, secureBoot: true}
    raid: [{name: system, level: raid1, drives: {count: 2, media: ssd}}]
    rootDevice: {raid: system}
    users: [{name: ops, sudo: true}, {name: old}]
    files: [{path: /etc/a, content: base, mode: "0600"}]
    disks: [{device: root, partitions: [{name: root, size: 4GiB, mount: /}]}]
    hostname: from-base
    ---
    kind: Profile
    metadata: {name: more}
    extends: [base]
    hostname: from-more
    users: [{name: old, shell: /bin/sh}]
    """


def merged(host: str):
    head = "kind: Host\nmetadata: {name: h}\n"
    specs = resolve(load_files({"p.yaml": dedent(PROFILES), "h.yaml": head + dedent(host)}))
    return specs, specs.hosts.get("h")


def test_the_contract_in_one_host() -> None:
    specs, host = merged("""\
        extends: [more]
        firmware: {secureBoot: false}
        raid: [{name: system, spares: 1}]
        users: [{name: ops, shell: /bin/zsh}, {name: new}]
        files: [{path: /etc/a, content: host}, {path: /etc/b, content: b}]
        disks: [{device: root, partitions: [{name: data, size: rest}]}]
        """)
    assert specs.findings == ()
    assert host is not None
    assert (host.firmware.boot_mode, host.firmware.secure_boot) == ("uefi", False)
    assert (host.raid[0].level, host.raid[0].spares, host.raid[0].drives.count) == ("raid1", 1, 2)
    assert [(u.name, u.sudo, u.shell) for u in host.users] == [
        ("ops", True, "/bin/zsh"),
        ("old", False, "/bin/sh"),
        ("new", False, "/bin/bash"),
    ]
    assert [(f.path, f.content, f.mode) for f in host.files] == [
        ("/etc/a", "host", "0600"),
        ("/etc/b", "b", "0644"),
    ]
    assert [part.name for part in host.disks[0].partitions] == ["root", "data"]
    assert host.hostname == "from-more"


def test_null_removes() -> None:
    _, host = merged(
        "extends: [base]\nrootDevice: null\nusers: null\ndisks: null\nfirmware: {bootMode: null}\n"
    )
    assert host is not None
    assert (host.root_device, host.users, host.disks, host.firmware.boot_mode) == (None, (), (), None)


def test_other_lists_are_replaced() -> None:
    head = "kind: Profile\nmetadata: {name: n}\nnetwork: {ethernets: {a: {addresses: [10.0.0.1/8]}}}\n"
    body = "kind: Host\nmetadata: {name: h}\nextends: [n]\n" + head.split("\n")[2].replace("0.1/8", "0.2/8")
    specs = resolve(load_files({"p.yaml": head, "h.yaml": body}))
    assert [str(one) for one in specs.hosts["h"].network.ethernets["a"].addresses] == ["10.0.0.2/8"]


def test_a_finding_in_a_profile_stands_once_in_the_profile() -> None:
    profile = "kind: Profile\nmetadata: {name: n}\npowr: on\n"
    host = "kind: Host\nmetadata: {{name: {0}}}\nextends: [n]\n"
    files = {"p.yaml": profile, "a.yaml": host.format("a"), "b.yaml": host.format("b")}
    findings = resolve(load_files(files)).findings
    assert [str(one) for one in findings] == ["p.yaml:3:1: powr: unknown key 'powr' (did you mean power?)"]


def test_a_field_that_no_profile_completes_is_missing_in_the_host() -> None:
    specs, host = merged("extends: [base]\nraid: [{name: data, spares: 1}]\n")
    assert host is None
    assert [str(one) for one in specs.findings] == [
        "h.yaml:4:8: raid[0].drives: drives is missing (add drives)",
        "h.yaml:4:8: raid[0].level: level is missing (add level)",
    ]


def test_cycles_and_unknown_profiles() -> None:
    profile = "kind: Profile\nmetadata: {{name: {0}}}\nextends: [{1}]\n"
    profiles = profile.format("a", "b") + "---\n" + profile.format("b", "a")
    host = "kind: Host\nmetadata: {name: h}\nextends: [a, wep]\n"
    messages = {one.message for one in resolve(load_files({"p.yaml": profiles, "h.yaml": host})).findings}
    assert "extends goes in a circle: a -> b -> a" in messages
    assert "no Profile is called 'wep'" in messages
