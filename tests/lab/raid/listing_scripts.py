"""The calls of the drivers' listing scripts, made in process; the scripts are tried with their drivers."""

import re

from metal.protocols import Output
from tests.lab.raid.driven import Driven


def ir_listing(host: Driven) -> Output:
    """LIST, then DISPLAY of each adapter, and STATUS where it has a volume."""
    said = host.ask(host.tool, "LIST")
    text = said.stdout
    if said.status:
        return Output(("sh",), said.status, text, "")
    for index in re.findall(r"^ *(\d+) .*h:.*h:", text, re.MULTILINE):
        shown = host.ask(host.tool, index, "DISPLAY").stdout
        text += shown
        if "IR volume 1" in shown:
            text += host.ask(host.tool, index, "STATUS").stdout
    return Output(("sh",), 0, text, "")


def mv_listing(host: Driven) -> Output:
    """All cards, then disks and volumes of each."""
    text = host.ask(host.tool, "info", "-o", "hba").stdout
    for index in re.findall(r"^ *(?:Adapter ID:|NVMe Controller ID) *(\S+)$", text, re.MULTILINE):
        host.ask(host.tool, "adapter", "-i", index)
        parts = [host.ask(host.tool, "info", "-o", what).stdout for what in ("pd", "vd")]
        text += f"\nrackflow: card {index}\n{''.join(parts)}\nrackflow: end {index}\n"
    return Output(("sh",), 0, text, "")
