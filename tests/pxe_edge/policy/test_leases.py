"""The lease table keeps its promises under any order of events."""

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.policy.leases import LeaseRow, LeaseTable
from pxe_edge.policy.networks import serve_site
from pxe_edge.policy.views import AddressRange, NetworkView, SiteView
from pxe_edge.wire.options import dotted

VIEW = NetworkView(
    "n",
    "provisioning",
    IPv4Network("10.0.0.0/24"),
    pool=(AddressRange(IPv4Address("10.0.0.250"), IPv4Address("10.0.1.5")),),
    exclude=(AddressRange(IPv4Address("10.0.0.251"), IPv4Address("10.0.0.251")),),
)
NET = serve_site(SiteView("s", networks=(VIEW,))).network("n")
events = st.lists(
    st.tuples(st.sampled_from(("take", "release", "decline", "wait")), st.integers(0, 6)), max_size=60
)


@given(events)
def test_no_address_is_ever_held_by_two(steps):
    table, now = LeaseTable(), 0.0
    held: dict[str, tuple[int, float]] = {}
    for what, number in steps:
        mac = f"m{number}"
        if what == "wait":
            now += 40 * number
        elif what == "take":
            address = table.choose(NET, mac, None, now)
            others = {a for m, (a, until) in held.items() if m != mac and until > now}
            if address is None:
                assert len(others) + sum(row.state == "declined" for row in table.rows()) >= 4
                continue
            assert address not in others
            assert table.may_keep(NET, mac, address, now)
            table.put(LeaseRow(address, mac, "n", "bound", now + 100))
            held[mac] = (address, now + 100)
        elif (row := table.binding("n", mac)) is not None:
            state = "released" if what == "release" else "declined"
            table.put(row._replace(state=state, expires_at=now if what == "release" else now + 50))
            held.pop(mac, None)


def test_edges_of_the_pool_are_left_out():
    table = LeaseTable()
    own = serve_site(SiteView("s", networks=(VIEW,)), frozenset({int(IPv4Address("10.0.0.252"))})).network(
        "n"
    )
    got = []
    for number in range(10):
        address = table.choose(own, f"m{number}", None, 0.0)
        if address is not None:
            table.put(LeaseRow(address, f"m{number}", "n", "bound", 100.0))
            got.append(dotted(address))
    assert got == ["10.0.0.250", "10.0.0.253", "10.0.0.254"]


def test_many_renewals_do_not_grow_the_table():
    table = LeaseTable()
    address = table.choose(NET, "m", None, 0.0)
    for now in range(20000):
        table.put(LeaseRow(address, "m", "n", "bound", now + 100.0))
    assert len(table._holders["n"].pool._used) == 1
