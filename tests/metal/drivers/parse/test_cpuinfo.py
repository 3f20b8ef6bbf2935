"""Processors as /proc/cpuinfo and lscpu tell them, on machines of several kinds."""

import json

import pytest

from metal.drivers.identity.cpuinfo import CpuInfo, parse
from metal.errors import Unparsable
from tests.metal.drivers.parse.refusing import never_anything_else, value_or_refusal


def x86_thread(number, socket, core):
    return (
        f"processor\t: {number}\nvendor_id\t: Acme\nmodel\t\t: 85\nmodel name\t: Acme(R)  Core 2 @ 2GHz\n"
        f"physical id\t: {socket}\nsiblings\t: 4\ncore id\t\t: {core}\ncpu cores\t: 2\nflags\t\t: fpu vme\n\n"
    )


X86 = "".join(x86_thread(n, n // 4, n % 2) for n in range(8))
VM = "processor : 0\nmodel name : Acme vCPU\n\nprocessor : 1\nmodel name : Acme vCPU\n"
ARM = (
    "Processor\t: ARMv7 Processor rev 4 (v7l)\nprocessor\t: 0\nBogoMIPS\t: 38.4\n\n"
    "processor\t: 1\n\nHardware\t: BCM\nSerial\t\t: 0000000012345678\n"
)
POWER = "".join(f"processor\t: {n}\ncpu\t\t: POWER9, altivec supported\n\n" for n in (0, 4))
IBM_Z = (
    "vendor_id       : IBM/S390\n# processors    : 2\n"
    "processor 0: version = FF,  identification = 0133E8,  machine = 2964\n"
    "processor 1: version = FF,  identification = 0133E8,  machine = 2964\n"
)
ARM_ALONE = "Processor\t: Acme 88 rev 1 (v5l)\nBogoMIPS\t: 9.1\nFeatures\t: swp half\nSerial : 0000\n"
SPARC = "cpu\t\t: Acme Sparc III\nfpu\t\t: own\nncpus probed\t: 4\nncpus active\t: 2\nCPU0:\t\tonline\n"
ALPHA = "cpu\t\t\t: Alpha\ncpu model\t\t: EV9\nBogoMIPS\t\t: 9.1\ncpus detected\t\t: 3\n"
LSCPU = """\
Architecture:            x86_64
  CPU op-mode(s):        32-bit, 64-bit
CPU(s):                  96
  On-line CPU(s) list:   0-95
Vendor ID:               AcmeIntel
  BIOS Model name:       Not this one
  Model name:            Acme(R) Gold 1
    Thread(s) per core:  2
    Core(s) per socket:  24
    Socket(s):           2
NUMA node0 CPU(s):       0-47
"""
CHINESE = """\
架构:                aarch64
字节序:              Little Endian
CPU:                  96
在线 CPU 列表:       0-95
每个座的核数:        48
座:                  2
型号名称:            Acme-920
""".replace(":", "\uff1a").replace("CPU\uff1a", "CPU:")
FRENCH = """\
Architecture\xa0:          x86_64
Processeur(s)\xa0:         8
Thread(s) par cœur\xa0:    2
Cœur(s) par socket\xa0:    2
Socket(s)\xa0:             2
Nom de modèle\xa0:         Acme(R) Gold 1
"""
MAINFRAME = """\
Architecture:        s390x
CPU(s):              40
Core(s) per socket:  10
Socket(s) per book:  2
Book(s) per drawer:  1
Drawer(s):           1
"""
CLUSTERS = (
    "Architecture: aarch64\nCPU(s): 64\nModel name: -\nCore(s) per cluster: 32\nSocket(s): -\nCluster(s): 2\n"
)
LIST = "# comment\n# CPU,Core,Socket,Node,,L1d\n0,0,0,0,,0\n1,1,0,0,,1\n2,2,1,1,,2\n3,2,1,1,,2\n"
NESTED = json.dumps(
    {
        "lscpu": [
            {"field": "Architecture:", "data": "aarch64"},
            {"field": "CPU(s):", "data": "8"},
            {
                "field": "Vendor ID:",
                "data": "ARM",
                "children": [
                    {
                        "field": "Model name:",
                        "data": "Big-1",
                        "children": [
                            {"field": "Core(s) per socket:", "data": "4"},
                            {"field": "Socket(s):", "data": "2"},
                        ],
                    },
                    {"field": "Model name:", "data": "Little-1"},
                ],
            },
        ]
    },
    indent=1,
)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (X86, CpuInfo(2, 4, 8, ("Acme(R) Core 2 @ 2GHz",), None)),
        (VM, CpuInfo(None, None, 2, ("Acme vCPU",), None)),
        (ARM, CpuInfo(None, None, 2, ("ARMv7 Processor rev 4 (v7l)",), None)),
        (POWER, CpuInfo(None, None, 2, ("POWER9, altivec supported",), None)),
        (IBM_Z, CpuInfo(None, None, 2, (), None)),
        (ARM_ALONE, CpuInfo(None, None, None, ("Acme 88 rev 1 (v5l)",), None)),
        (SPARC, CpuInfo(None, None, 2, ("Acme Sparc III",), None)),
        (ALPHA, CpuInfo(None, None, 3, ("EV9",), None)),
        (LSCPU, CpuInfo(2, 48, 96, ("Acme(R) Gold 1",), "x86_64")),
        (CHINESE, CpuInfo(2, 96, 96, ("Acme-920",), "aarch64")),
        (FRENCH, CpuInfo(2, 4, 8, ("Acme(R) Gold 1",), "x86_64")),
        (MAINFRAME, CpuInfo(2, 20, 40, (), "s390x")),
        (CLUSTERS, CpuInfo(None, 64, 64, (), "aarch64")),
        (LIST, CpuInfo(2, 3, 4, (), None)),
        (NESTED, CpuInfo(2, 8, 8, ("Big-1", "Little-1"), "aarch64")),
    ],
)
def test_every_form_gives_totals_of_the_machine(text, read):
    assert parse(text).value == read
    assert value_or_refusal("cpuinfo", parse, text.replace("\n", "\r\n"))["threads"] == read.threads


def test_json_has_its_names_in_the_callers_language_too():
    fields = [
        ("アーキテクチャ:", "x86_64"),
        ("CPU:", "8"),
        ("ソケットあたりのコア数:", "4"),
        ("ソケット数:", "1"),
        ("モデル名:", "Acme 7"),
    ]
    text = json.dumps(
        {"lscpu": [{"field": name, "data": value} for name, value in fields]}, ensure_ascii=False
    )
    assert parse(text).value == CpuInfo(1, 4, 8, ("Acme 7",), "x86_64")


def test_the_firmwares_name_counts_where_there_is_no_other():
    without = LSCPU.replace("  Model name:            Acme(R) Gold 1\n", "")
    assert parse(without).value.models == ("Not this one",)


def test_cores_are_counted_where_the_kernel_does_not():
    assert parse(X86.replace("cpu cores\t: 2\n", "")).value.cores == 4


def test_a_thread_that_is_listed_again_is_the_same():
    assert parse(X86 + X86).value == parse(X86).value
    assert parse(VM + VM).value.threads == 2


def test_a_prompt_is_ignored():
    assert parse("[root@h ~]# lscpu\n" + LSCPU).ignored == ("[root@h ~]# lscpu",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cat: /proc/cpuinfo: No such file or directory\n", "line 1: expected a line 'processor : 0'"),
        ('{"lscpu": []}', "line 1: expected a list of fields"),
        ('{"lscpu": [{"data": 1}]}', "expected an object with 'field' and 'data'"),
        ('{"blockdevices": []}', "expected an object 'lscpu'"),
        ("# CPU,Core,Socket,Node\n", "line 2: expected a row of numbers"),
        ("Architecture:\nCPU(s):\n", "line 1: expected lscpu's"),
    ],
)
def test_refusals_say_where(text, said):
    with pytest.raises(Unparsable) as error:
        parse(text)
    assert said in error.value.message


test_nothing_but_a_value_or_a_refusal = never_anything_else(
    "cpuinfo", parse, (X86, ARM, POWER, IBM_Z, LSCPU, CHINESE, MAINFRAME, LIST, NESTED)
)
