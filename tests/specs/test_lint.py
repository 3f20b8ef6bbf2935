"""Findings across documents: a good set has none, and each broken thing has exactly its own."""

from textwrap import dedent

import pytest

from specs.lint_disks import DEVICE_NAMES
from specs.load import load_files, resolve
from specs.records import Finding

GOOD = """\
kind: Site
metadata: {name: s}
networks:
  - {name: prov, purpose: provisioning, subnet: 10.0.0.0/24, interface: p0, gateway: 10.0.0.1, pool: [10.0.0.50-10.0.0.99]}
  - {name: bmc, purpose: bmc, subnet: 10.0.9.0/24}
bmc: {network: bmc}
---
kind: Image
metadata: {name: img}
source: {upload: true}
os: {family: debian, version: "12", bootModes: [uefi]}
---
kind: Host
metadata: {name: a}
match: {serial: A1}
image: img
raid: [{name: sys, level: raid1, drives: {count: 2}}]
rootDevice: {raid: sys}
disks: [{device: root, partitions: [{name: root, size: 4GiB, mount: /}, {name: d, size: rest, filesystem: ext4, mount: /d}]}]
bmc: {address: 10.0.9.5}
users: [{name: ops}]
files: [{path: /etc/a, source: a.txt}]
network:
  ethernets: {n0: {match: {macaddress: "52:54:00:00:00:01"}}, n1: {match: {macaddress: "52:54:00:00:00:02"}}}
  bonds: {b0: {interfaces: [n0, n1], parameters: {mode: active-backup}, addresses: [10.0.0.21/24], routes: [{to: default, via: 10.0.0.1}]}}
"""  # noqa: E501 - one line per thing that a case replaces


def findings(text: str) -> tuple[Finding, ...]:
    return resolve(load_files({"s.yaml": text, "a.txt": b"x"})).findings


def test_a_good_set_has_no_findings() -> None:
    assert findings(GOOD) == ()


def test_a_long_option_is_taken_because_it_is_sent_split() -> None:
    text = f'interface: p0, options: [{{code: 66, text: "{"t" * 600}"}}],'
    assert findings(GOOD.replace("interface: p0,", text)) == ()


SITE = [
    ("interface: p0,", "interface: p0123456789abcdef,", "expected an interface name of 1 to 15 characters"),
    ("interface: p0,", "interface: p0, lease: 0s,", "expected a duration such as"),
    ("interface: p0,", "interface: p0, lease: 4294967296s,", "expected a duration such as"),
    ("interface: p0,", 'interface: p0, lease: "\N{SUPERSCRIPT TWO}h",', "expected a duration such as"),
    ("source: {upload: true}", 'source: {url: "file:///etc/shadow"}', "expected an http:// or https:// URL"),
    ("interface: p0,", 'interface: p0, options: [{code: 61, hex: "00"}],', "option 61 is set by the edge"),
    ("interface: p0,", f'interface: p0, options: [{{code: 66, text: "{"t" * 1025}"}}],', "at most 1024 fit"),
    ("gateway: 10.0.0.1", "gateway: 10.0.1.1", "10.0.1.1 lies outside 10.0.0.0/24"),
    ("10.0.0.50-10.0.0.99", "10.0.1.50-10.0.1.99", "10.0.1.50-10.0.1.99 lies outside 10.0.0.0/24"),
    ("10.0.0.50-10.0.0.99", "10.0.0.99-10.0.0.50", "10.0.0.99-10.0.0.50 ends before it starts"),
    ("10.0.0.50-10.0.0.99", "10.0.0.1-10.0.0.9", "the pool gives away 10.0.0.1, which is the gateway"),
    ("[10.0.0.50-10.0.0.99]", "[10.0.0.50-10.0.0.99, 10.0.0.90]", "10.0.0.90-10.0.0.90 overlaps"),
    ("subnet: 10.0.9.0/24", "subnet: 10.0.0.0/16", "10.0.0.0/16 overlaps prov 10.0.0.0/24"),
    ("name: bmc, purpose: bmc", "name: bmc, purpose: os", "bmc is a os network"),
    ("network: bmc", "network: bcm", "no network is called 'bcm'"),
    (
        "interface: p0,",
        'interface: p0, reservations: [{mac: "52:54:00:00:00:09", address: 10.0.3.1}],',
        "10.0.3.1 lies outside 10.0.0.0/24",
    ),
    (
        "interface: p0,",
        'interface: p0, reservations: [{mac: "52:54:00:00:00:09", address: 10.0.0.21}],',
        "address 10.0.0.21 is reserved for 52:54:00:00:00:09",
    ),
    (
        "interface: p0,",
        "interface: p0, options: [{code: 51, hex: ff}],",
        "option 51 is set by the edge from lease",
    ),
    ("interface: p0,", 'interface: p0, options: [{code: 66, text: ""}],', "option 66 is empty"),
    (
        "interface: p0,",
        "interface: p0, options: [{code: 120, integers: {u9: [1]}}],",
        "expected u8, u16 or u32, got 'u9'",
    ),
    (
        "interface: p0,",
        "interface: p0, options: [{code: 120, integers: {u8: [256]}}],",
        "expected 0 to 255 for u8, got 256",
    ),
    (
        "interface: p0,",
        "interface: p0, relays: [10.0.0.2],",
        "relay 10.0.0.2 is on a network that the edge serves",
    ),
    (
        "---\nkind: Image",
        "---\nkind: Site\nmetadata: {name: t}\n---\nkind: Image",
        "a second Site; a set has one",
    ),
]

HOST = [
    ("image: img", "image: imb", "no Image is called 'imb'"),
    ("rootDevice: {raid: sys}", "rootDevice: {raid: sis}", "raid has no volume 'sis'"),
    ("rootDevice: {raid: sys}", "rootDevice: {raid: sys, media: ssd}", "raid stands alone in a device rule"),
    (
        "rootDevice: {raid: sys}",
        "rootDevice: {minSize: 2GiB, maxSize: 1GiB}",
        "minSize is greater than maxSize",
    ),
    (
        "rootDevice: {raid: sys}",
        "rootDevice: {byPath: /dev/sda}",
        "/dev/sda is no place on a bus: a kernel's name may be another disk's at the next boot",
    ),
    ("rootDevice: {raid: sys}", "rootDevice: {serial: '0000'}", "what drives report that know no serial"),
    (
        "rootDevice: {raid: sys}",
        "rootDevice: {media: ssd, transport: nvme}",
        "no disk of transport nvme has medium ssd",
    ),
    (
        "disks: [{device: root",
        "firmware: {bootMode: bios}\ndisks: [{device: root",
        "boots by uefi, not by bios",
    ),
    ("drives: {count: 2}", "drives: {count: 1}", "raid1 needs at least 2 drives, got 1"),
    ("drives: {count: 2}", "drives: {count: 2, serials: [x]}", "1 serials for 2 drives"),
    ("size: 4GiB", "size: rest", "a second partition of size rest on one disk"),
    (
        "{name: root, size: 4GiB, mount: /}, ",
        "",
        "the root disk is laid out without a partition mounted at /",
    ),
    ("name: d, size", "name: root, size", "a second partition called 'root'"),
    ("mount: /d}", "mount: /}", "/ is also the mount of root"),
    ("filesystem: ext4, mount: /d", "mount: /d", "/d has no filesystem"),
    ("mount: /d}", "mount: /d, options: ['a b']}", "a blank in it breaks fstab"),
    (
        "{name: d, size: rest, filesystem: ext4, mount: /d}]}]",
        "{name: d, size: rest, lvm: {vg: sys}}]}]\nvolumeGroups: [{name: sis, logicalVolumes: []}]",
        "no partition is for group 'sis'",
    ),
    (
        "ext4, mount: /d}]}]",
        (
            "ext4, mount: /d, lvm: {vg: sys}}]}]\n"
            "volumeGroups: [{name: sys, logicalVolumes: [{name: v, size: rest}]}]"
        ),
        "every partition of group sys is one logical volume of its own",
    ),
    (
        "filesystem: ext4, mount: /d}]}]",
        "lvm: {vg: sys}}]}]\nvolumeGroups: [{name: sys, logicalVolumes: [{name: d, size: 1GiB}]}]",
        "a second logical volume called 'd', also in disks[0]",
    ),
    (
        "filesystem: ext4, mount: /d}]}]",
        (
            "lvm: {vg: sys}}]}]\nvolumeGroups: [{name: sys, logicalVolumes: "
            "[{name: a, size: rest}, {name: b, size: rest}]}]"
        ),
        "a second volume of size rest in one group",
    ),
    (
        "filesystem: ext4, mount: /d}]}]",
        "lvm: {vg: sys}}]}]\nvolumeGroups: [{name: sys, logicalVolumes: [{name: snapshot, size: 1GiB}]}]",
        "LVM keeps names like 'snapshot' for itself",
    ),
    (
        "filesystem: ext4, mount: /d}]}]",
        (
            "lvm: {vg: sys}}]}]\nvolumeGroups: [{name: sys, thinPools: [{name: p, size: 1GiB}], "
            "logicalVolumes: [{name: a, size: rest, thinPool: p}]}]"
        ),
        "a thin volume of size rest: nothing says of what",
    ),
    (
        "filesystem: ext4, mount: /d}]}]",
        (
            "lvm: {vg: sys}}]}]\nvolumeGroups: [{name: sys, thinPools: [{name: pool, size: 1GiB}], "
            "logicalVolumes: [{name: a, size: 9GiB, thinPool: pol}]}]"
        ),
        "the group has no thin pool 'pol'",
    ),
    (
        "filesystem: ext4, mount: /d}]}]",
        (
            "lvm: {vg: sys}}]}]\nvolumeGroups: [{name: sys, thinPools: [{name: p, size: rest}], "
            "logicalVolumes: [{name: a, size: rest}]}]"
        ),
        "a second volume of size rest in one group",
    ),
    (
        "filesystem: ext4, mount: /d}]}]",
        (
            "lvm: {vg: sys}}]}]\nvolumeGroups: [{name: sys, thinPools: [{name: a, size: 1GiB}], "
            "logicalVolumes: [{name: a, size: 1GiB}]}]"
        ),
        "there is a logical volume called 'a' too",
    ),
    (
        "filesystem: ext4, mount: /d}]}]",
        "lvm: {vg: log}}]}]\nvolumeGroups: [{name: log, logicalVolumes: [{name: v, size: 1GiB}]}]",
        "/dev/log is no volume group's: LVM refuses the name",
    ),
    ("filesystem: ext4, mount: /d}", "lvm: {vg: sdb}}", "/dev/sdb is no volume group's"),
    (
        "filesystem: ext4, mount: /d}]}]",
        (
            "lvm: {vg: luks}}]}]\nvolumeGroups: [{name: luks, logicalVolumes: "
            "[{name: v, size: 1GiB, filesystem: ext4, luks: {key: {secret: k}}}]}]"
        ),
        "what is opened in v would be called as the volume itself is",
    ),
    (
        "filesystem: ext4, mount: /d}]}]",
        (
            f"lvm: {{vg: {'a-' * 25}b}}}}]}}]\nvolumeGroups: [{{name: {'a-' * 25}b, logicalVolumes: "
            f"[{{name: {'c' * 50}, size: 1GiB}}]}}]"
        ),
        "make a device's name of more than 127 bytes (dashes count twice)",
    ),
    ("name: d, size", f"name: {'d' * 37}, size", "a GPT keeps 36 characters of a name"),
    ("mount: /d}", "mount: /boot/efi}", "/boot/efi is the image's"),
    ("mount: /d}", "mount: /etc/ssh/keys}", "/etc/ssh/keys is the image's"),
    ("mount: /d}", "mount: /usr}", "/usr is the image's"),
    ("mount: /}", "mount: /, lvm: {vg: sys}}", "/ comes from the image and is put on no logical volume"),
    (
        "device: root, partitions",
        "device: root, table: gpt, partitions",
        "the root disk has the partition table of its image",
    ),
    (
        "mount: /d}]}]",
        (
            "mount: /d}]}, {device: {serial: B1}, table: mbr, partitions: "
            "[{name: p1, size: 1GiB}, {name: p2, size: 1GiB}, {name: p3, size: 1GiB}, "
            "{name: p4, size: 1GiB}, {name: p5, size: 1GiB}]}]"
        ),
        "an MBR holds 4 partitions, these are 5",
    ),
    ("size: rest", "size: 101%", "or a share from 1% to 100% or rest, got '101%'"),
    (
        "{name: root, size: 4GiB, mount: /}",
        "{name: root, size: 100%, mount: /}",
        "100%, and rest gets nothing",
    ),
    ("mount: /}", "mount: /, options: [noatime]}", "/ is mounted as the image's fstab says"),
    ("mount: /}", "mount: /, label: x}", "/ comes from the image with its label"),
    ("ext4, mount: /d", "xfs, mount: /d, label: a-label-of-13b", "a label of 1 to 12 bytes for xfs"),
    ("mount: /d}", "mount: /d, subvolumes: [{name: a}]}", "ext4 has no subvolumes"),
    (
        "ext4, mount: /d",
        "btrfs, subvolumes: [{name: a, mount: /a}, {name: a, mount: /b}]",
        "two subvolumes of one name",
    ),
    ("ext4, mount: /d", "btrfs, mount: /d, subvolumes: [{name: a, mount: /d}]", "/d is also the mount of d"),
    ("ext4, mount: /d", "btrfs, subvolumes: [{name: a, options: [ro]}]", "options without a mount"),
    (
        "ext4, mount: /d",
        "btrfs, mount: /d, options: [subvol=a]",
        "option subvol=a is made from subvolumes",
    ),
    ("mount: /d}", "mount: /d/../e}", "expected a plain absolute path"),
    ("interfaces: [n0, n1]", "interfaces: [n0, n2]", "ethernets has no 'n2'"),
    ("mode: active-backup", "mode: active-backup, primary: n9", "primary 'n9' is no member of b0"),
    (
        "mode: active-backup",
        "mode: active-backup, lacp-rate: fast",
        "lacp-rate means nothing to active-backup",
    ),
    ("  bonds:", "  vlans: {v5: {id: 5, link: b1}}\n  bonds:", "no link is called 'b1'"),
    ("  bonds:", "  vlans: {n0: {id: 5, link: b0}}\n  bonds:", "one name for two links"),
    ("via: 10.0.0.1", "via: 10.0.5.1", "10.0.5.1 is in no network of b0"),
    ("via: 10.0.0.1}", "via: 10.0.0.1}, {to: 0.0.0.0/0, via: 10.0.0.2}", "a second default route"),
    ("[10.0.0.21/24]", "[10.0.0.255/24]", "is the network's own or broadcast address"),
    ("[10.0.0.21/24]", "[10.0.0.21/16]", "10.0.0.21/16 disagrees with prov"),
    ("[10.0.0.21/24]", "[10.0.0.1/24]", "10.0.0.1 is the gateway of prov"),
    ("[10.0.0.21/24]", "[{pool: os}]", "the site has no network 'os'"),
    ("bmc: {address: 10.0.9.5}", "bmc: {address: 10.0.0.5}", "10.0.0.5 lies in no bmc network"),
    ("[{name: ops}]", "[{name: ops}, {name: ops}]", "a second user called 'ops'"),
    ("[{name: ops}]", "[{name: rackflow}]", "user rackflow is the management user"),
    ("[{name: ops}]", "[{name: ops, sshKeys: [ssh-ed25519 AAAA]}]", "expected a public key"),
    ("path: /etc/a, source: a.txt", "path: /etc/fstab, source: a.txt", "/etc/fstab is written from disks"),
    ("source: a.txt", "source: b.txt", "the set has no file 'b.txt'"),
]


@pytest.mark.parametrize(("before", "after", "message"), [*SITE, *HOST])
def test_one_broken_thing_is_one_finding(before: str, after: str, message: str) -> None:
    assert before in GOOD
    found = findings(GOOD.replace(before, after, 1))
    assert [one.message for one in found if message in one.message], found
    assert len(found) == 1, [str(one) for one in found]


def test_an_image_needs_a_root_device() -> None:
    found = findings(GOOD.replace("rootDevice: {raid: sys}\n", ""))
    assert [one.path for one in found] == ["image", "disks[0].device"]


@pytest.mark.parametrize(
    ("twin", "message"),
    [
        ("match: {serial: a1}", "serial a1 is claimed already by host a (s.yaml:15)"),
        (
            'match: {mac: "52:54:00:00:00:01"}',
            "mac 52:54:00:00:00:01 is claimed already by host a (s.yaml:24)",
        ),
        ("bmc: {address: 10.0.9.5}", "address 10.0.9.5 is claimed already by host a (s.yaml:20)"),
        (
            "network: {ethernets: {e: {addresses: [10.0.0.21/24]}}}",
            "address 10.0.0.21 is claimed already by host a (s.yaml:25)",
        ),
    ],
)
def test_two_hosts_never_claim_one_thing(twin: str, message: str) -> None:
    (finding,) = findings(GOOD + dedent(f"---\nkind: Host\nmetadata: {{name: b}}\n{twin}\n"))
    assert finding.message == message


def test_a_second_document_of_one_name() -> None:
    (finding,) = findings(GOOD + "---\nkind: Host\nmetadata: {name: a}\n")
    assert finding.message == "a second Host called 'a'; the first is in s.yaml:14"


@pytest.mark.parametrize("name", ["log", "md", "md0", "vda", "nvme0n1", "tty1", "disk", "loop7"])
def test_what_linux_calls_its_devices_is_no_group(name: str) -> None:
    assert DEVICE_NAMES.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["sys", "data", "hdd", "ssd", "nvme", "vg0", "system", "logs", "tty-x", "ram"]
)
def test_names_that_nothing_bears_are_free(name: str) -> None:
    assert not DEVICE_NAMES.fullmatch(name)


@pytest.mark.parametrize("mount", ["/usr/local", "/etc/app", "/var", "/home", "/boots", "/runner", "/srv"])
def test_other_places_may_be_mounted_on(mount: str) -> None:
    assert findings(GOOD.replace("mount: /d}", f"mount: {mount}}}")) == ()
