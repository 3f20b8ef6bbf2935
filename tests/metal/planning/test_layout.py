"""Partition arithmetic at its edges."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metal.planning.disks import Refusal
from metal.planning.layout import (
    MIB,
    DiskPlan,
    ImageLayout,
    array_size_bytes,
    lay_out_data,
    lay_out_root,
    read_image,
    usable_end_bytes,
)
from specs.model import Partition

GIB = 1 << 30
IMAGE = ImageLayout(1, 35 * MIB, 980 * MIB, frozenset({1, 14, 15}), 512)


def parts(*wishes: tuple[str, str, str | None]) -> list[Partition]:
    return [Partition.model_validate({"name": n, "size": s, "mount": m}) for n, s, m in wishes]


def test_root_grows_and_the_rest_follows() -> None:
    plan = lay_out_root(
        parts(("root", "4GiB", "/"), ("a", "1GiB", "/a"), ("b", "rest", "/b")), 8 * GIB, IMAGE
    )
    assert isinstance(plan, DiskPlan)
    assert plan.root_size_bytes == 4 * GIB
    first, second = plan.added
    assert (first.number, first.start_bytes, first.size_bytes) == (2, 35 * MIB + 4 * GIB, GIB)
    assert (second.number, second.start_bytes) == (3, first.start_bytes + GIB)
    assert second.start_bytes + second.size_bytes == usable_end_bytes(8 * GIB) == 8 * GIB - MIB


def test_root_alone_takes_what_is_there() -> None:
    for wished in ([], parts(("root", "rest", "/"))):
        assert lay_out_root(wished, 8 * GIB, IMAGE) == DiskPlan(1, None, ())


def test_root_takes_the_rest_before_a_fixed_one() -> None:
    plan = lay_out_root(parts(("root", "rest", "/"), ("swap", "1GiB", None)), 8 * GIB, IMAGE)
    assert isinstance(plan, DiskPlan)
    assert plan.root_size_bytes == 8 * GIB - MIB - 35 * MIB - GIB


def test_shares_are_of_what_the_image_and_absolute_sizes_leave() -> None:
    wished = parts(("root", "4GiB", "/"), ("a", "25%", "/a"), ("b", "rest", "/b"), ("c", "50%", "/c"))
    plan = lay_out_root(wished, 8 * GIB, IMAGE)
    assert isinstance(plan, DiskPlan)
    shared = usable_end_bytes(8 * GIB) - 35 * MIB - 4 * GIB
    quarter, rest, half = (one.size_bytes for one in plan.added)
    assert (quarter, half) == (shared // 4 // MIB * MIB, shared // 2 // MIB * MIB)
    assert quarter + rest + half == shared
    grown = lay_out_root(parts(("root", "50%", "/"), ("a", "1GiB", "/a")), 8 * GIB, IMAGE)
    assert isinstance(grown, DiskPlan)
    assert grown.root_size_bytes == (usable_end_bytes(8 * GIB) - 35 * MIB - GIB) // 2 // MIB * MIB


@pytest.mark.parametrize(("kind", "least_mib"), [("xfs", 300), ("btrfs", 128), ("ext4", 16)])
def test_a_file_system_gets_no_less_than_its_maker_takes(kind: str, least_mib: int) -> None:
    """As mkfs.xfs 6.1 and mkfs.btrfs 6.2 answered."""
    wished = [Partition.model_validate({"name": "a", "size": f"{least_mib}MiB", "filesystem": kind})]
    assert isinstance(lay_out_data(wished, GIB, 4096), DiskPlan)
    small = [wished[0].model_copy(update={"size": (least_mib - 1) * MIB})]
    found = lay_out_data(small, GIB, 4096)
    assert isinstance(found, Refusal)
    assert f"a would get {least_mib - 1} MiB" in found.message


@pytest.mark.parametrize(
    ("wished", "size_bytes", "message"),
    [
        (parts(("root", "500MiB", "/")), 8 * GIB, "root gets 500 MiB, the image's root needs 980 MiB"),
        (parts(("root", "rest", "/"), ("a", "8GiB", "/a")), 8 * GIB, "root gets 0 B"),
        (
            parts(("root", "4GiB", "/"), ("a", "5GiB", "/a")),
            8 * GIB,
            "partitions need 5 GiB, there are 3.96 GiB",
        ),
        (
            parts(("root", "4GiB", "/"), ("a", "rest", "/a")),
            4 * GIB + 40 * MIB,
            "a would get 4 MiB, the least is 16 MiB",
        ),
        ([], 900 * MIB, "root gets 864 MiB, the image's root needs 980 MiB"),
    ],
)
def test_what_does_not_fit_is_refused_with_numbers(
    wished: list[Partition], size_bytes: int, message: str
) -> None:
    found = lay_out_root(wished, size_bytes, IMAGE)
    assert isinstance(found, Refusal)
    assert found.reason == "layout-impossible"
    assert message in found.message


def test_a_disk_without_room_for_any_partition_says_so() -> None:
    found = lay_out_data(parts(("a", "rest", "/a"), ("b", "10%", "/b")), 2 * MIB, 512)
    assert found == Refusal("layout-impossible", "no room is left for a, b")


@settings(deadline=None)  # a shared machine stalls for longer than any step takes
@given(
    size_mib=st.integers(64, 1 << 22),
    sizes=st.lists(st.integers(1, 4 << 30), max_size=6),
    percents=st.lists(st.integers(1, 50), max_size=2),
    rest=st.booleans(),
    sector=st.sampled_from([512, 4096]),
)
def test_partitions_never_overlap_nor_leave_the_disk(
    size_mib: int, sizes: list[int], percents: list[int], *, rest: bool, sector: int
) -> None:
    told = [*(f"{size}B" for size in sizes), *(f"{one}%" for one in percents)]
    wished = [Partition.model_validate({"name": f"p{n}", "size": size}) for n, size in enumerate(told)]
    wished += parts(("last", "rest", None)) if rest else []
    plan = lay_out_data(wished, size_mib * MIB + 4096, sector)
    if isinstance(plan, Refusal):
        return
    at = MIB
    for one in plan.added:
        assert one.start_bytes == at
        assert one.start_bytes % MIB == one.size_bytes % MIB == 0
        at += one.size_bytes
    assert at <= size_mib * MIB + 4096 - (16384 + sector)
    assert len({one.number for one in plan.added}) == len(wished)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"root_partition": 9}, "the image's root partition was not found"),
        ({"root_partition": 14}, "partition 1 of the image lies behind its root"),
        ({"sector_bytes": 4096}, "sectors of 4096 bytes, the disk has 512"),
    ],
)
def test_an_image_that_cannot_be_grown_is_unfit(change: dict[str, int], message: str) -> None:
    info = {
        "partitions": [
            {"number": 14, "start_bytes": MIB, "size_bytes": MIB},
            {"number": 1, "start_bytes": 2 * MIB, "size_bytes": 9 * MIB},
        ],
        "root_partition": 1,
        "sector_bytes": 512,
        **change,
    }
    found = read_image(info, 512)
    assert isinstance(found, Refusal)
    assert (found.reason, message in found.message) == ("image-unfit", True)


def test_array_sizes() -> None:
    sizes = [8 * GIB, 8 * GIB, 9 * GIB, 8 * GIB]
    assert array_size_bytes("raid1", sizes[:2], "1.0") == 8 * GIB - MIB
    member = 8 * GIB - 34 * MIB
    for level, members in (("raid0", 4), ("raid5", 3), ("raid6", 2), ("raid10", 2)):
        assert array_size_bytes(level, sizes, "1.2") == members * member
