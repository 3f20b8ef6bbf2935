"""What of an answer may be compared between servers.

Addresses of the server, of the client, and times are masked, so that two right servers give the same.
"""

from ipaddress import IPv4Address

from tests.differential.servers import SCRIPT
from tests.interop import wire
from tests.interop.netns import SERVER
from tests.interop.talk import Talk


class Compared(Talk):
    """A client whose answers are kept by step, to be compared."""

    def __init__(self, lab, watch, number):
        super().__init__(lab, watch, number, "s0")
        self.steps = {}

    def step(self, name, message, **how):
        """Ask, and keep the answer as a step."""
        answer = self.ask(message, **how)
        self.steps[name] = aspects(message, answer, self.address)
        return answer


def aspects(asked, answer, had):
    """What may be compared; `had` is the address that the client has or was offered."""
    if answer is None:
        return {"answer": "silence"}
    found = {
        "answer": answer.kind,
        "to": _destination(asked, answer),
        "size": "300 or more" if answer.size >= 300 else "under 300",
        "yiaddr": _whose(answer.yiaddr, asked, had),
        "ciaddr": "as sent" if answer.ciaddr == asked.ciaddr else _whose(answer.ciaddr, asked, had),
        "siaddr": _server(answer.siaddr),
        "echoed": _echoed(asked, answer),
        "flags": f"{answer.flags:#06x}",
        "hops": str(answer.hops),
        "file": _text(answer.file),
        "sname": _text(answer.sname),
    }
    for code, value in answer.options.items():
        if code not in (53, 58, 59, 82):
            found[f"option {code}"] = _option(code, value, asked)
    found["timers"] = _timers(answer.options)
    found["option 82"] = _relayed(asked, answer)
    if 1 in answer.order and 3 in answer.order:
        found["mask and router"] = (
            "mask first" if answer.order.index(1) < answer.order.index(3) else "router first"
        )
    return found


def _destination(asked, answer):
    where = f"{answer.target}:{answer.target_port}"
    named = {
        f"{asked.giaddr}:67": "giaddr:67",
        f"{wire.EVERYBODY}:68": "broadcast:68",
        f"{answer.yiaddr}:68": "yiaddr:68",
        f"{asked.ciaddr}:68": "ciaddr:68",
    }
    if asked.giaddr != wire.NOBODY or answer.target != answer.yiaddr or asked.ciaddr != wire.NOBODY:
        return named.get(where, where)
    # Nobody answers ARP for the address yet: it must be a frame to chaddr.
    return f"{named.get(where, where)} to {'chaddr' if answer.target_mac == asked.mac else 'another'}"


def _whose(address, asked, had):
    if address == wire.NOBODY:
        return "0"
    if had is not None and address == had:
        return "the client's"
    if address == asked.address(50):
        return "the requested"
    return f"one of {address.rpartition('.')[0]}"


def _server(address):
    return {wire.NOBODY: "0", SERVER: "server"}.get(address, address)


def _echoed(asked, answer):
    fields = ("xid", "mac", "htype", "hlen", "giaddr")
    wrong = [name for name in fields if getattr(asked, name) != getattr(answer, name)]
    return "all" if not wrong else f"not {', '.join(wrong)}"


def _text(value):
    text = value.decode("latin-1").rstrip("\0")
    return text.split("?")[0].replace(SCRIPT, "SCRIPT").replace(SERVER, "server") or "none"


def _option(code, value, asked):
    if code == 54:
        return _server(str(IPv4Address(value)))
    if code == 51:
        return str(int.from_bytes(value, "big"))
    if code in (1, 3, 6, 28, 42):
        return " ".join(str(IPv4Address(value[at : at + 4])) for at in range(0, len(value), 4))
    if code in asked.options and value == asked.options[code] and code in (61, 97, 118):
        return "as sent"
    if code in (60, 66, 67):
        return _text(value)
    return "any text" if code == 56 else value.hex()


def _timers(options):
    # The times themselves are the server's choice (RFC 2131 section 4.4.5: with some fuzz).
    t1, t2, lease = (int.from_bytes(options.get(code, b""), "big") for code in (58, 59, 51))
    if not t1 and not t2:
        return "none"
    return "T1 < T2 < lease" if t1 < t2 < lease else "out of order"


def _relayed(asked, answer):
    if 82 not in answer.options:
        return "not echoed" if 82 in asked.options else "none"
    same = "same octets" if answer.options[82] == asked.options.get(82) else "changed"
    return f"{same}, {'last' if answer.order[-1] == 82 else 'not last'}"
