"""Files cut into packets: what they hold, what is not cut, and how much is kept."""

import struct

import pytest

from pxe_edge.servers import cuts
from pxe_edge.servers.cuts import Cuts
from pxe_edge.servers.files import FileTable
from pxe_edge.servers.mapped import Mappings, of_bytes


@pytest.fixture
def take(tmp_path):
    """Takes files of known content, and gives them back in the end."""
    for name, size in {"one": 512, "odd": 1300 * 512 + 7, "two": 1000, "large": 5000}.items():
        (tmp_path / name).write_bytes(bytes(n % 251 for n in range(size)))
    mappings, taken = Mappings(FileTable(tmp_path)), []

    def taking(name):
        taken.append(mappings.take(name))
        return taken[-1]

    yield taking
    for mapped in taken:
        mappings.give_back(mapped)


@pytest.mark.parametrize("name", ["one", "odd", "two"])
@pytest.mark.parametrize("block_bytes", [512, 1468, 60_000])
def test_every_block_lies_behind_its_header(take, name, block_bytes):
    mapped = take(name)
    packets, content = bytes(Cuts().take(mapped, block_bytes).packets), bytes(mapped.view)
    blocks = [content[at : at + block_bytes] for at in range(0, len(content), block_bytes)]
    if len(blocks[-1]) == block_bytes:
        blocks.append(b"")
    assert packets == b"".join(struct.pack("!HH", 3, n) + block for n, block in enumerate(blocks, 1))


def test_what_is_not_cut_is_sent_out_of_its_mapping(take, monkeypatch):
    monkeypatch.setattr(cuts, "MAX_FILE_BYTES", 4000)
    kept = Cuts()
    assert kept.take(take("large"), 1468) is None
    assert kept.take(take("two"), 8) is None
    assert kept.take(of_bytes(b"made"), 1468) is None


def test_a_file_that_was_cut_short_is_not_cut(take, tmp_path):
    mapped = take("two")
    (tmp_path / "two").write_bytes(b"")
    assert Cuts().take(mapped, 512) is None


def test_what_nobody_sends_gives_way_and_what_is_sent_does_not(take, monkeypatch):
    monkeypatch.setattr(cuts, "MAX_BYTES", 2500)
    kept, mapped = Cuts(), take("two")
    first, second = kept.take(mapped, 512), kept.take(mapped, 600)
    assert kept.take(mapped, 512) is first
    assert kept.take(mapped, 700) is None  # both are in use
    kept.give_back(second)
    third = kept.take(mapped, 700)
    assert third is not None
    kept.give_back(third)
    assert kept.take(mapped, 512) is first
    assert kept.take(mapped, 600) is not second
