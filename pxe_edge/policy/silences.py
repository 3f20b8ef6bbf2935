"""Why a DHCP message gets no answer: reason codes with a sentence and what to do about it.

The codes are what `Quiet.reason` carries. Those that also say why a host is where it is stand in
`specs.reasons`; the rest are about packets and stand here. In a next step MAC stands for the machine's.
"""

from typing import Final

from specs.reasons import REASONS, Reason

_PUBLISH: Final = "then rackflow spec publish."

_OF_PACKETS: Final = (
    Reason("not-a-dhcp-request", "It is no DHCP request (BOOTP, or a reply).", "Have the client use DHCP."),
    Reason("not-for-a-server", "Its message type is none that a server answers.", "Nothing to do."),
    Reason("damaged", "Its DHCP message is damaged.", "Capture it: tcpdump -i INTERFACE -w FILE port 67."),
    Reason("too-many-hops", "It came through more than 16 relays.", "Look for a loop of relays."),
    Reason(
        "unknown-relay",
        "No network of the Site is behind the relay (giaddr) that it came through.",
        f"Add the network, or the relay's address to its relays, in the Site; {_PUBLISH}",
    ),
    Reason(
        "unknown-subnet",
        "No network of the Site has the subnet that its relay selects, or that its address is of.",
        f"Add the network to the Site; {_PUBLISH}",
    ),
    Reason(
        "no-network-here",
        "No network of the Site is on the interface that it came in by.",
        f"Give a network that interface in the Site, or set its mode to full; {_PUBLISH}",
    ),
    Reason(
        "no-server-address",
        "The edge has no address on its network.",
        "Give the interface an address in the subnet.",
    ),
    Reason(
        "untrusted-relay-option",
        "It carries option 82 without having come through a relay.",
        f"If a switch adds it: trusted: true on that network of the Site; {_PUBLISH}",
    ),
    Reason(
        "no-reservation",
        "Its network serves reservations only, and it has none.",
        f"Add a reservation of MAC to that network of the Site; {_PUBLISH}",
    ),
    Reason(
        "pool-exhausted",
        "Its network has no free address left.",
        f"Give the network a larger pool or a shorter lease in the Site; {_PUBLISH}",
    ),
    Reason(
        "too-many-offers",
        "More offers are out than the edge keeps: somebody floods it with made-up machines.",
        "Look for the sender on the relay or switch port that the log names.",
    ),
    Reason(
        "chose-another-server",
        "It took the offer of another DHCP server.",
        "If that server should not be there: rackflow doctor names it; else mode: proxy for this network.",
    ),
    Reason(
        "offers-not-requested",
        "It got two offers and requested none: it took another server's, or never heard ours.",
        "Look for another DHCP server with rackflow doctor, and for a filter on the way back to it.",
    ),
    Reason(
        "no-requested-address",
        "Its REQUEST names no address.",
        "Capture it: tcpdump -i INTERFACE -w FILE port 67.",
    ),
    Reason(
        "unknown-client",
        "It asks for an address of former times of which there is no record.",
        "Nothing to do: it starts again with DISCOVER.",
    ),
    Reason(
        "rebinding-not-ours",
        "It extends a lease that is not known here.",
        "Nothing to do: it starts again with DISCOVER when that lease ends.",
    ),
    Reason(
        "declined",
        "It found its address in use by another machine; the address is in quarantine.",
        "Look for the machine that has it: arping -I INTERFACE ADDRESS.",
    ),
    Reason(
        "address-in-use",
        "It answers for an address of the pool that it has no lease of; the address is in quarantine.",
        f"Give it a reservation, or exclude the address from the pool, in the Site; {_PUBLISH}",
    ),
    Reason(
        "address-refused",
        "It asked for an address that it may not have here, and was refused (NAK).",
        "Nothing to do: it starts again with DISCOVER.",
    ),
    Reason("declined-to-another-server", "It declined another server's address.", "Nothing to do."),
    Reason("declined-not-its-address", "It declined an address that it does not have.", "Nothing to do."),
    Reason("released", "It gave its address back.", "Nothing to do."),
    Reason("released-to-another-server", "It gave another server's address back.", "Nothing to do."),
    Reason("released-not-its-address", "It gave back an address that it does not have.", "Nothing to do."),
    Reason("inform-without-address", "Its INFORM has no address to answer to.", "Nothing to do."),
    Reason(
        "inform-from-elsewhere",
        "The address in its INFORM is not of the network that it came from.",
        "Correct the address that is set on the machine by hand.",
    ),
    Reason(
        "proxy-mode", "Its network is in proxy mode and the message is none for a proxy.", "Nothing to do."
    ),
    Reason(
        "not-for-a-proxy",
        "Its network is in proxy mode: addresses come from the site's own DHCP server.",
        "If it got no address, look at that server.",
    ),
    Reason(
        "not-a-proxy-network",
        "It asked on port 4011 on a network that is not in proxy mode.",
        "Nothing to do, or mode: proxy for that network.",
    ),
    Reason(
        "no-loader",
        "There is no loader for its architecture.",
        "Let its firmware boot as BIOS or UEFI x86-64.",
    ),
    Reason(
        "no-boot-os-for-it",
        "The boot OS is built for another architecture than its own.",
        "Have its firmware boot as BIOS or UEFI x86-64.",
    ),
    Reason(
        "rate-limited",
        "It, or its relay, sends more packets than the limit.",
        "Look for a loop, or a client that retries without pause.",
    ),
    Reason(
        "overload",
        "More answers wait for the disk than are held.",
        "Nothing to do if it passes: the client asks again; else look at the disk of the data folder.",
    ),
    Reason("no-link", "It came in by an interface that is gone.", "Nothing to do."),
    Reason(
        "not-stored",
        "Its lease could not be stored, so it was not acknowledged.",
        "Look at the disk of the data folder; the edge's log has the error.",
    ),
    Reason(
        "ipxe-without-http",
        "It runs the site's own iPXE, and that can't fetch by HTTP.",
        "Build the loader in <data>/boot with DOWNLOAD_PROTO_HTTP, or take the ipxe package's.",
    ),
    Reason("no-boot-client", "It is no firmware and no loader.", "Nothing to do."),
)
_CAPTURE6: Final = "Capture it: tcpdump -i INTERFACE -w FILE port 547."
_OF_DHCPV6: Final = (
    Reason("no-client-id", "Its DHCPv6 message has no client identifier.", _CAPTURE6),
    Reason("no-server-id", "Its DHCPv6 message does not say for which server it is.", _CAPTURE6),
    Reason("server-id-not-allowed", "Its DHCPv6 message names a server where it must not.", _CAPTURE6),
    Reason("sent-unicast", "It sent to the edge's own address where DHCPv6 wants multicast.", _CAPTURE6),
    Reason("nothing-asked", "Its Solicit asks for no address.", "Nothing to do."),
    Reason("confirm-without-address", "It asks to confirm no address.", "Nothing to do."),
    Reason("information-request-with-association", "It asks for options and addresses at once.", _CAPTURE6),
)
_SHARED: Final = (
    "no-work-due",
    "discovery-off",
    "awaiting-approval",
    "identity-conflict",
)

SILENCES: Final[dict[str, Reason]] = {
    **{reason.code: reason for reason in (*_OF_PACKETS, *_OF_DHCPV6)},
    **{code: REASONS[code] for code in _SHARED},
}

BY_PROTOCOL: Final = frozenset({"released", "released-to-another-server", "chose-another-server"})
"""Messages that RFC 2131 gives no answer: nothing is wrong with the edge's silence."""


def explain_silence(code: str) -> Reason:
    """The reason of a code; one without an entry is shown by its name."""
    return SILENCES.get(code) or Reason(code, code.replace("-", " ") + ".", "Look at the edge's log.")
