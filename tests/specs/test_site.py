"""The Site document: what it takes, what it refuses, and where the finding points."""

import pytest

from specs.load import load_files, resolve
from specs.site_model import Site

SITE = """\
kind: Site
metadata: {name: s}
discovery: off
networks:
  - name: prov
    purpose: provisioning
    subnet: 10.0.0.0/24
    interface: p0
    gateway: 10.0.0.1
    pool: [10.0.0.50-10.0.0.99, 10.0.0.120]
    exclude: [10.0.0.60, 10.0.0.70-10.0.0.79]
    mode: full
    reservations: [{mac: "52:54:00:00:00:01", address: 10.0.0.20}]
    options:
      - {code: 66, text: a, match: {arch: 7}}
      - {code: 67, hex: "0a0B", match: {class: PXEClient, userClass: iPXE}}
      - {code: 150, addresses: [10.0.0.9], match: {host: web-01}}
      - {code: 224, integers: [1, 2], match: {mac: "52:54:00:00:00:01"}}
      - {code: 225, integers: {u16: [1500]}}
  - {name: far, purpose: provisioning, subnet: 10.0.2.0/24, relays: [10.0.2.1], mode: off}
"""


def site(text: str) -> Site:
    found = resolve(load_files({"s.yaml": text}))

    assert [str(finding) for finding in found.findings] == []
    assert found.site is not None
    return found.site


def test_a_whole_site_is_read_with_bare_words_that_yaml_takes_for_booleans() -> None:
    read = site(SITE)

    assert read.discovery == "off"
    assert [network.mode for network in read.networks] == ["full", "off"]
    matches = [o.match.model_dump(exclude_none=True) for o in read.networks[0].options if o.match]
    assert matches == [
        {"arch": 7},
        {"vendor_class": "PXEClient", "user_class": "iPXE"},
        {"host": "web-01"},
        {"mac": "52:54:00:00:00:01"},
    ]


OPTION = "{code: 66, text: a, match: {arch: 7}}"
REFUSED = [
    (
        "discovery: off",
        "discovery: of",
        "s.yaml:3:1: discovery: expected off, hold, inspect or register",
        "off",
    ),
    ("mode: full", "mode: ful", "networks[0].mode: expected full, reservations, proxy or off", "full"),
    ("mode: full", "mode: on", "networks[0].mode: expected full", None),
    (OPTION, "{code: 66}", "options[0]: option 66 needs exactly one of text, hex, addresses", None),
    (OPTION, "{code: 66, text: a, hex: '00'}", "of text, hex, addresses, integers; got text and hex", None),
    (OPTION, "{code: 66, text: a, match: {}}", "match is empty: give arch, class", None),
    (OPTION, "{code: 66, text: a, match: {clas: x}}", "match.clas: unknown key 'clas'", "class"),
    (OPTION, "{code: 66, text: a, match: {arch: 70000}}", "match.arch: input should be less than", None),
    (OPTION, "{code: 255, text: a}", "options[0]: expected an option from 1 to 254", None),
    ("{code: 225, integers: {u16: [1500]}}", OPTION, "option 66 is given twice for the same clients", None),
    ("[10.0.2.1]", "[10.0.2.1, 10.0.2.1]", "relay 10.0.2.1 speaks for far already", None),
    ("address: 10.0.0.20", "address: 10.0.0.255", "10.0.0.255 is the network's own or broadcast", None),
    ("relays: [", "relais: [", "networks[1].relais: unknown key 'relais'", "relays"),
    ("subnet: 10.0.2.0/24", "subnet: 10.0.2.1/24", "networks[1].subnet:", None),
]


@pytest.mark.parametrize(("old", "new", "said", "meant"), REFUSED, ids=[case[1] for case in REFUSED])
def test_what_is_wrong_is_said_at_its_line_with_what_was_meant(
    old: str, new: str, said: str, meant: str | None
) -> None:
    found = [str(finding) for finding in resolve(load_files({"s.yaml": SITE.replace(old, new)})).findings]

    matching = [text for text in found if said in text]
    assert len(matching) == 1, found
    line = 1 + SITE[: SITE.index(old)].count("\n")
    assert matching[0].startswith(f"s.yaml:{line}:")
    assert meant is None or f"did you mean {meant}?" in matching[0]
