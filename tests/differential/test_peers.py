"""The same messages to us, to Kea and to dnsmasq: every difference has its reason, in differences.md.

A difference that is not in the table fails, and so does a row that nothing needs any more.
"""

import concurrent.futures
import contextlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.differential.aspects import Compared
from tests.differential.messages import CAPTURES, TALKS
from tests.differential.servers import KEA, SERVERS, Bench

pytestmark = [pytest.mark.interop, pytest.mark.timeout(600)]
TABLE = Path(__file__).with_name("differences.md")


@dataclass(frozen=True)
class Difference:
    """One aspect of one answer that a peer has otherwise."""

    peer: str
    where: str
    what: str
    ours: str
    theirs: str


@dataclass(frozen=True)
class Row:
    """One row of the table; `where` is a pattern."""

    peer: str
    where: tuple[str, ...]
    what: str
    ours: str
    theirs: str
    why: str

    def explains(self, found):
        """Whether a difference is this row's."""
        same = all(getattr(self, name) in (getattr(found, name), "*") for name in ("what", "ours", "theirs"))
        return same and found.peer in self.peer and any(fnmatchcase(found.where, part) for part in self.where)


def rows():
    """The table."""
    found = []
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and cells[0] not in ("peer", "---"):
            peer, where, what, ours, theirs, why = cells
            found.append(Row(peer, tuple(where.replace("`", "").split(", ")), what, ours, theirs, why))
    return found


def all_answers(folder, name):
    """What one server answers in all talks: (talk/step) -> aspects."""
    lab = Bench(folder, name)
    found = {}
    with contextlib.ExitStack() as stack:
        stack.callback(lab.down)
        lab.up()
        stack.enter_context(SERVERS[name](lab))
        watch = stack.enter_context(lab.watch("R", "r1"))
        for number, (talk_name, talk) in enumerate(TALKS.items(), 1):
            watch.frames.clear()
            said = Compared(lab, watch, number)
            try:
                talk(said)
            finally:
                said.close()
            found |= {f"{talk_name}/{step}": told for step, told in said.steps.items()}
    return found


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What each server answers, all three at the same time."""
    if not (KEA / "usr/sbin/kea-dhcp4").exists():
        pytest.fail("Kea is missing: run scripts/setup")
    folders = {name: tmp_path_factory.mktemp(name) for name in SERVERS}
    with concurrent.futures.ThreadPoolExecutor() as pool:
        told = {name: pool.submit(all_answers, folders[name], name) for name in SERVERS}
        return {name: future.result() for name, future in told.items()}


@pytest.fixture(scope="module")
def differences(answers):
    """Every aspect in which a peer is not as we are."""
    ours = answers["rackflow"]
    found = []
    for peer in ("kea", "dnsmasq"):
        for where, theirs in answers[peer].items():
            mine = ours[where]
            if mine["answer"] != theirs["answer"]:
                found.append(Difference(peer, where, "answer", mine["answer"], theirs["answer"]))
                continue
            for what in sorted({*mine, *theirs}):
                pair = mine.get(what, "absent"), theirs.get(what, "absent")
                if pair[0] != pair[1]:
                    found.append(Difference(peer, where, what, *pair))
    return found


def test_every_difference_has_its_reason(differences):
    table = rows()
    new = [found for found in differences if not any(row.explains(found) for row in table)]
    lines = [f"| {d.peer} | {d.where} | {d.what} | {d.ours} | {d.theirs} | |" for d in new]

    assert not lines, "differences without a reason in differences.md:\n" + "\n".join(lines)


def test_no_reason_is_left_over(differences):
    left = []
    for row in rows():
        for peer in row.peer.split(", "):
            for where in row.where:
                if where.startswith("capture-") and not CAPTURES.is_dir():
                    continue
                one = Row(peer, (where,), row.what, row.ours, row.theirs, row.why)
                if not any(one.explains(found) for found in differences):
                    left.append(f"{peer} | {where} | {row.what} | {row.ours} | {row.theirs}")

    assert not left, "nothing needs these rows of differences.md any more:\n" + "\n".join(left)


def test_every_reason_names_its_source():
    bare = [row for row in rows() if not any(mark in row.why for mark in ("RFC", "PXE", "UEFI", "measured"))]

    assert not bare
    assert len(rows()) > 10


def test_talks_are_told_apart_by_name(answers):
    assert len({frozenset(told) for told in answers.values()}) == 1, "the servers were not asked the same"
    assert len(answers["rackflow"]) > 80
