"""What a spec alone shows of RAID volumes that can't be."""

import pytest
import yaml

from specs.load import load_files, resolve


def findings(*volumes):
    body = {
        "apiVersion": "rackflow/v1",
        "kind": "Host",
        "metadata": {"name": "h"},
        "match": {"serial": "S"},
        "raid": [{"name": f"v{n}", "level": "raid1", **volume} for n, volume in enumerate(volumes)],
    }
    found = resolve(load_files({"a.yaml": yaml.safe_dump(body)})).findings
    return [one.message for one in found]


@pytest.mark.parametrize(
    ("volume", "told"),
    [
        (
            {"level": "raid10", "drives": {"count": 5}},
            "raid10 needs an even number, at least 4 drives, got 5",
        ),
        ({"level": "raid10adm", "drives": {"count": 7}}, "a multiple of 3, at least 6 drives, got 7"),
        ({"level": "raid50", "drives": {"count": 5}}, "raid50 needs at least 6 drives, got 5"),
        ({"drives": {"count": 2}, "spans": 2}, "raid1 has no spans"),
        ({"level": "raid0", "drives": {"count": 2}, "spares": 1}, "a spare restores nothing of raid0"),
        ({"level": "jbod", "drives": {"count": 2}, "spares": 1}, "a spare restores nothing of jbod"),
        ({"level": "jbod", "drives": {"count": 2}, "size": "10GiB"}, "drives of level jbod are used whole"),
        ({"level": "raid50", "drives": {"count": 8}, "spans": 3}, "8 drives can't be 3 equal spans"),
        ({"drives": {"count": 2, "slots": ["252:0"]}}, "1 slots for 2 drives"),
        ({"drives": {"count": 2, "serials": ["A", "A"]}}, "1 serials for 2 drives"),
        ({"drives": {"count": 2, "minSize": "2TB", "maxSize": "1TB"}}, "minSize is greater than maxSize"),
        ({"drives": {"sharing": "v1"}}, "no volume 'v1' stands before this one"),
        ({"drives": {}}, "say how many drives: count: N, or all"),
        ({"drives": {"sharing": "v1", "media": "ssd"}}, "sharing stands alone"),
    ],
)
def test_a_volume_that_cannot_be_is_found(volume, told):
    assert [one for one in findings(volume) if told in one], findings(volume)


def test_spares_of_a_shared_group_belong_to_its_first_volume():
    first = {"level": "raid5", "drives": {"count": 3}, "size": "100GiB"}
    second = {"level": "raid5", "drives": {"sharing": "v0"}, "spares": 1}
    assert findings(first, second) == ["spares belong to the volume whose drives are shared"]


def test_all_is_a_number_of_drives():
    assert findings({"level": "raid6", "drives": {"count": "all"}}) == []
