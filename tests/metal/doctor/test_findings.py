"""Checks run side by side: order, time-outs, and a check that breaks."""

import threading
import time

from metal.doctor.findings import Check, ok, run_checks


def test_findings_come_in_the_order_of_the_checks_however_they_end() -> None:
    second_ended = threading.Event()

    def first():  # type: ignore[no-untyped-def]
        assert second_ended.wait(10)
        yield ok("first", "after the second")

    def second():  # type: ignore[no-untyped-def]
        yield ok("second", "at once")
        second_ended.set()

    ended: list[str] = []
    reported = run_checks([Check("a", "1", first), Check("b", "2", second)], lambda c: ended.append(c.name))

    assert [(each.group, each.finding.name) for each in reported] == [("a", "first"), ("b", "second")]
    assert ended == ["2", "1"]


def test_a_check_that_breaks_is_a_failed_check_with_its_reason() -> None:
    def breaks():  # type: ignore[no-untyped-def]
        yield ok("half", "done")
        raise ZeroDivisionError("by zero")

    (broken,) = run_checks([Check("a", "breaks", breaks)])

    assert broken.finding.status == "failed"
    assert broken.finding.message == "the check itself broke: ZeroDivisionError: by zero"


def test_a_check_that_hangs_is_left_behind() -> None:
    never = threading.Event()

    def hangs():  # type: ignore[no-untyped-def]
        never.wait()
        yield ok("never", "")

    started = time.monotonic()
    reported = run_checks(
        [Check("a", "hangs", hangs, timeout_s=0.2), Check("b", "quick", lambda: [ok("quick", "")])]
    )
    never.set()

    assert time.monotonic() - started < 10
    assert [each.finding.status for each in reported] == ["failed", "ok"]
    assert reported[0].finding.message.startswith("no result within")
