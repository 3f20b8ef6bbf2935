"""What `why` says of a machine that asked and is no host."""

from typing import Any

import pytest

from pxe_edge.policy.requests import BootRequest
from pxe_edge.registry import sightings, why
from pxe_edge.registry.packet_view import PacketView
from specs.reasons import REASONS

MAC = "52:54:00:00:00:0a"
OFFER = "answer=OFFER network=prov address=10.77.1.50 how=layer2 boot=loader:snponly.efi"


@pytest.mark.parametrize(
    ("outcomes", "reason"),
    [
        ([OFFER], "loader:snponly.efi"),
        ([OFFER, "answer=script boot_no=7"], "script"),
        (["answer=none reason=awaiting-approval"], "awaiting-approval"),
    ],
)
def test_network_and_answer_are_told_whole(registry: Any, outcomes: list[str], reason: str) -> None:
    view = PacketView(registry)
    via, network = ("dhcp", "http"), ("prov", None)
    for number, outcome in enumerate(outcomes):
        view.sighting(BootRequest(MAC, "pxe", network=network[number], via=via[number]), outcome)
        view.flush()
    with registry.db.read() as session:
        told = why.explain(session, MAC)
    assert told["reason"] == reason
    assert told["timeline"][0]["text"] == f"PXE request of {MAC} on prov: {outcomes[0]}"
    known = REASONS.get(reason)
    assert told["sentence"] == known.sentence if known else reason in told["sentence"]
    view.sighting(BootRequest(MAC, "ipxe", via="http"), outcomes[-1])
    view.flush()
    with registry.db.read() as session:
        assert sightings.newest(session, 1)[0].network == "prov"
