"""The plans of the two demo hosts, whole: what is written here is what a person consents to.

RACKFLOW_GOLDEN=1 writes the files anew; read the difference before committing it.
"""

import json
import os
from pathlib import Path

import pytest
from prefect.client.schemas.actions import ArtifactCreate

from metal.planning.report import artifact_key, as_json, markdown
from metal.planning.steps import make_plan

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["web-01", "db-01"])
def test_the_whole_plan(name: str, make_order, observe, hardware) -> None:
    plan = make_plan(make_order(name), observe(hardware[name]))
    steps = "".join(f"{one.id}: {json.dumps(one.args, sort_keys=True)}\n" for one in plan.steps)
    text = f"{markdown(plan)}\n```\n{steps}```\n"
    path = GOLDEN / f"{name}.md"
    if os.environ.get("RACKFLOW_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_equal_readings_give_equal_hashes_and_age_is_no_part_of_it(make_order, observe, hardware) -> None:
    seen = observe(hardware["web-01"])
    first = make_plan(make_order("web-01"), seen)
    later = make_plan(make_order("web-01"), seen.model_copy(update={"at": seen.at.replace(hour=13)}))
    assert first.hash == later.hash
    renamed = hardware["web-01"].model_copy(
        update={
            "disks": tuple(
                disk.model_copy(update={"device": f"/dev/sd{letter}", "holders": ("md127",)})
                for disk, letter in zip(hardware["web-01"].disks, "yz", strict=True)
            )
        }
    )
    assert make_plan(make_order("web-01"), observe(renamed)).hash == first.hash


def test_another_size_or_content_is_another_plan(make_order, observe, hardware) -> None:
    first = make_plan(make_order("db-01"), observe(hardware["db-01"]))
    disk = hardware["db-01"].disks[0].model_copy(update={"found": ("ntfs labelled data",)})
    other = make_plan(make_order("db-01"), observe(hardware["db-01"].model_copy(update={"disks": (disk,)})))
    assert other.hash != first.hash
    assert other.steps[0].destroys[0].found == "ntfs labelled data"


def test_json_has_the_keys_of_the_contract(make_order, observe, hardware) -> None:
    shape = as_json(make_plan(make_order("db-01"), observe(hardware["db-01"])))
    assert {"name", "hash", "observed_at", "in_sync", "steps"} <= shape.keys()
    keys = "id kind field old new reason destructive destroys reboot minutes blocked_by"
    assert all(step.keys() == set(keys.split()) for step in shape["steps"])


def test_facts_cannot_become_markup(make_order, observe, hardware) -> None:
    disk = hardware["db-01"].disks[0].model_copy(update={"found": ("ext4 | <script> `x`\n# big",)})
    plan = make_plan(make_order("db-01"), observe(hardware["db-01"].model_copy(update={"disks": (disk,)})))
    text = markdown(plan)
    assert "<script>" not in text.split("```diff")[0]
    assert "\n# big" not in text


@pytest.mark.parametrize("name", ["web-01", "web-01.example.net", "mac-5254"])
def test_an_artifact_has_a_key_that_prefect_takes_for_every_host_name(name: str) -> None:
    key = artifact_key("plan", name)
    assert ArtifactCreate(key=key, type="markdown", data="").key == key
