"""The table of causes: each rule holds for its own situation, and no earlier one takes it away."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxe_edge.jobs.causes import Asked, Erased, Ignored, Refused, Run, Situation
from pxe_edge.jobs.causes_serial import LINE_CHARS, SIGNS, Console, clean, read
from pxe_edge.jobs.causes_silence import OtherServer
from pxe_edge.jobs.causes_stranger import STRANGER_RULES, Stranger, explain_stranger
from pxe_edge.jobs.causes_table import RULES, explain
from pxe_edge.jobs.leases import Lease
from pxe_edge.policy.silences import SILENCES
from specs.phases import Phase
from specs.reasons import REASONS
from specs.records import Condition, HostRecord, JobRecord, JournalRow, WaitRecord

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OLD = NOW - timedelta(minutes=10)
HOST = HostRecord(id="h-1", name="web-01", phase=Phase.READY, spec="web-01", bmc_address="10.77.9.50")
JOB = JobRecord(host="web-01", host_id="h-1", no=7, verb="apply", state="claimed", by="ann", created_at=OLD)
IDLE = Situation(now=NOW, host=HOST, phase_since=OLD)


def host(**changed: Any) -> Situation:
    return replace(IDLE, host=HOST.model_copy(update=changed))


def failed(reason: str, message: str = "", **more: Any) -> Situation:
    at = {"phase": Phase.PROVISION_FAILED, "reason": reason, "message": message or None}
    return replace(host(**at), ended=JOB.model_copy(update={"state": "failed"}), **more)


def job(state: str, **more: Any) -> Situation:
    names = ("reason", "plan", "lost_runs", "wait", "run_id")
    of_job: dict[str, Any] = {name: more.pop(name) for name in names if name in more}
    return replace(IDLE, job=JOB.model_copy(update={"state": state, **of_job}), **more)


def run(state: str, **more: Any) -> Run:
    return Run(**{"no": 1, "state": state, "created_at": OLD, "next_try_at": OLD, **more})


def waits(event: Any = "boot-os", **more: Any) -> Situation:
    wait = WaitRecord(event=event, since=OLD, deadline=NOW + timedelta(minutes=1), message="waits for it")
    return job("waiting", wait=wait, run=run("delivered"), **more)


def says(line: str, event: str = "boot-os") -> Situation:
    return waits(event, console=Console(3, "boot-os", ("earlier", line)))


def asked(via: str, *, ago_s: int = 60, **answer: str) -> Situation:
    return waits(asked=(Asked(NOW - timedelta(seconds=ago_s), via, "pxe", answer),))


def held(ttl_left_s: int, state: str = "claimed", **more: Any) -> Situation:
    lease = Lease(2, 7, "0123456789", NOW + timedelta(seconds=ttl_left_s))
    return job(state, lease=lease, run=run("delivered"), **more)


def row(phase: Any) -> JournalRow:
    return JournalRow(no=1, job=7, epoch=2, step="wipe", kind="wipe", phase=phase, at=OLD)


def condition(type_: str, status: Literal["False", "Unknown"] = "False") -> Situation:
    told = Condition(type=type_, status=status, reason="r", message="said so", since=OLD)
    return host(phase=Phase.ACTIVE, conditions=(told,))


GIVEN = {"delivered_at": OLD}
SITUATIONS: dict[str, Situation] = {
    "no-deployment": job("wanted", run=run("pending", error="no deployment discover/t1 yet")),
    "prefect-away": job("wanted", run=run("pending", error="ConnectError: refused")),
    "prefect-silent": job("delivered", run=run("delivered", **GIVEN), prefect_answers=False),
    "run-lost": job(
        "wanted", lost_runs=2, run=run("pending", next_try_at=NOW + timedelta(seconds=60)), lease=Lease(2, 7)
    ),
    "lease-foreign": job("delivered", run=run("delivered", **GIVEN), lease=Lease(2, 6, "0123456789", NOW)),
    "no-worker": job("delivered", run=run("delivered", **GIVEN)),
    "run-unclaimed": job("delivered", run=run("delivered", prefect_state="PENDING", **GIVEN)),
    "run-ended": job("delivered", run=run("delivered", prefect_state="CRASHED", **GIVEN)),
    "run-starting": job("delivered", run=run("delivered", delivered_at=NOW)),
    "run-due": job("wanted", run=run("pending")),
    "report-in-refused": waits(refused=(Refused(NOW, "report-in of boot 3: another UUID"),)),
    "phone-home-refused": waits("os", refused=(Refused(NOW, "phone-home from 10.0.0.1 refused: host key"),)),
    "boot-os-missing": waits(boot_os_built=False),
    "kernel-panic": says("[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs"),
    "no-bootable-device": says("BdsDxe: No bootable option or device was found."),
    "boot-loader-stuck": says("grub rescue> ", "os"),
    "network-boot-failed": says(
        "Configuring (net0 52:54:00:00:00:0a)...... No configuration methods succeeded"
    ),
    "emergency-shell": says("(initramfs) ", "os"),
    "boot-os-refused": says("bootos: 12.1 report-in refused: http://10.77.1.1 answered 409"),
    "boot-os-no-network": says("bootos: 30.0 no DHCP answer on eth0 for 20 s (carrier 0); asking on"),
    "boot-os-stopped": says("bootos: 3.0 boot seed refused: no token; waiting"),
    "out-of-memory": says("Out of memory: Killed process 1"),
    "booted-disk": says("web-01 login:"),
    "no-phone-home": says("web-01 login:", "os"),
    "disk-errors": says("[ 9.1] blk_update_request: I/O error, dev sda, sector 2048", "os"),
    "no-loader": asked("dhcp", answer="OFFER", boot="no-loader"),
    "boot-os-foreign": asked("http", answer="none", reason="no-boot-os-for-it"),
    "no-dhcp-answer": asked("dhcp", answer="none", reason="pool-exhausted"),
    "no-seed-given": asked("http", answer="none", reason="boot-refused"),
    "no-report-in": asked("http", answer="script", boot_no="3"),
    "loader-silent": asked("dhcp", answer="OFFER", boot="loader:undionly.kpxe"),
    "known-by-serial": replace(
        waits(), host=HOST.model_copy(update={"serial": "S1", "bmc_address": None}), discovery="hold"
    ),
    "not-asked": waits(),
    "not-asked-no-bmc": replace(waits(), host=HOST.model_copy(update={"bmc_address": None})),
    "os-silent": waits("os"),
    "bmc-away": waits("bmc"),
    "boot-begins": asked("dhcp", ago_s=2, answer="OFFER", boot="loader:undionly.kpxe"),
    "lease-kept": held(-1, prefect_answers=False),
    "lease-expired": held(-1),
    "cancel-asked": held(80, "cancelling"),
    "cancel-winds-down": job("cancelling", lease=Lease(2, 7)),
    "run-quiet": held(40),
    "consent-foreign": job("waiting-consent", reason="foreign-content", plan="f" * 64),
    "consent": job("waiting-consent", plan="f" * 64, erased=(Erased("D0", "8 GiB", "ntfs"),)),
    "step-running": held(80, journal=(row("intent"),)),
    "run-working": held(80, journal=(row("done"),)),
    "job-open": job("claimed"),
    "bmc-refuses": failed("bmc-unverified", "the BMC takes no credential; tried rackflow@10.77.9.50"),
    "bmc-not-on-lan": failed("bmc-unverified", "rackflow@10.77.9.50 was set in band and does not log in"),
    "bmc-no-address": failed("bmc-unverified", "no BMC address is kept for this host"),
    "bmc-silent": failed("unreachable", "no IPMI session with 10.77.9.50: timeout"),
    "bmc-lies": failed("refused", "the BMC keeps another boot override: set pxe, read back none"),
    "bmc-refuses-command": failed("refused", "IPMI 0x00 0x02: the BMC at 10.77.9.50 answers 0xd4"),
    "boot-os-unreachable": failed("unreachable", "no SSH connection to 10.77.1.50: timed out"),
    "image-not-stored": failed("image-missing", "not there", image="debian-12"),
    "failed-step": failed("refused", "exit 1", journal=(row("failed"),)),
    "secret-not-set": failed("secret-missing", "secret:ops-password@3 is not the current version"),
    "hardware-changed": condition("HardwareMatches"),
    "not-reachable": condition("Reachable"),
    "bmc-not-verified": condition("BmcVerified"),
    "drive-to-replace": condition("Healthy"),
    "raid-not-known": condition("Healthy", "Unknown"),
    "controller-not-known": condition("HardwareMatches", "Unknown"),
    "not-in-sync": condition("InSync"),
    "no-open-job": host(phase=Phase.PROVISIONING),
    "failed": host(phase=Phase.WIPE_FAILED),
    "retired": host(phase=Phase.RETIRED),
    "wiped": replace(
        IDLE, ended=JOB.model_copy(update={"verb": "wipe", "state": "done", "message": "2 disks erased"})
    ),
    "spec-missing": host(spec=None),
    "image-needed": replace(IDLE, image="debian-12"),
    "secret-needed": replace(IDLE, secrets_missing=("ops-password",)),
    "idle": IDLE,
    "packets-unanswered": replace(IDLE, ignored=(Ignored(NOW, "pool-exhausted", 2, "prov"),)),
    "asked-without-work": replace(
        host(phase=Phase.ACTIVE),
        asked=(Asked(NOW, "dhcp", "pxe", {"answer": "OFFER", "boot": "no-work-due"}),),
    ),
    "ok": host(phase=Phase.ACTIVE),
    **{code: failed(code) for code in REASONS if code != "ok"},
}


def test_every_rule_has_a_situation_and_every_code_one_rule() -> None:
    codes = [rule.code for rule in RULES]

    assert sorted(set(codes) - set(SITUATIONS)) == []
    assert [code for code in codes if codes.count(code) > 1] == []


@pytest.mark.parametrize("code", sorted(SITUATIONS))
def test_a_rule_holds_for_its_situation_before_all_others(code: str) -> None:
    cause = explain(SITUATIONS[code])

    if code in ("boot-os-timeout", "os-timeout"):
        assert cause.code == ("not-asked" if code == "boot-os-timeout" else "os-silent")
        assert "did not come up in time" in cause.sentence
    else:
        assert cause.code == code
    assert "{" not in cause.sentence + cause.next_step
    assert cause.sentence.endswith(".")
    assert "NAME" not in cause.next_step


@pytest.mark.parametrize("code", sorted(set(REASONS) - {"ok", "boot-os-timeout", "os-timeout"}))
def test_every_reason_code_is_told_with_what_the_run_said(code: str) -> None:
    cause = explain(failed(code, "exactly this happened"))

    assert (cause.reason, "exactly this happened" in cause.sentence) == (code, True)


@pytest.mark.parametrize(
    ("situation", "again"),
    [
        (host(phase=Phase.WIPE_FAILED, reason="step-failed"), "rackflow wipe web-01"),
        (host(phase=Phase.PROVISION_FAILED, reason="step-failed"), "rackflow apply web-01"),
        (
            replace(host(reason="wipe-impossible"), ended=JOB.model_copy(update={"verb": "wipe"})),
            "rackflow host web-01 lists its disks",
        ),
        (
            replace(host(reason="runs-lost"), ended=JOB.model_copy(update={"verb": "wipe"})),
            "then rackflow wipe web-01",
        ),
    ],
)
def test_what_failed_is_asked_for_again_by_its_own_command(situation: Situation, again: str) -> None:
    assert again in explain(situation).next_step


def test_a_blank_machine_says_why_and_what_it_is_ready_for() -> None:
    cause = explain(SITUATIONS["wiped"])
    assert "nothing is installed: 2 disks erased (job 7 (wipe), by ann)" in cause.sentence
    assert cause.next_step.endswith("rackflow apply web-01 installs it anew")
    bare = replace(SITUATIONS["wiped"], host=HOST.model_copy(update={"spec": None}))
    assert explain(bare).next_step.endswith("no spec is bound to it")


STRANGERS: dict[str, Stranger] = {
    "stranger-refused": Stranger(NOW, "m", 1, "script", NOW, (Refused(NOW, "report-in: another"),)),
    "foreign-server": Stranger(NOW, "m", server=OtherServer("10.0.0.9", None, "p0", "prov", False, 3, NOW)),
    "server-beside": Stranger(NOW, "m", server=OtherServer("10.0.0.9", "m", "p0", "prov", True, 3, NOW)),
    "stranger-perhaps-awaited": Stranger(NOW, "m", 1, "discovery-off", NOW, awaited=("a", "b", "c", "d")),
    "stranger-unanswered": Stranger(
        NOW, "m", ignored=(Ignored(NOW, "unknown-relay", 3, None, "giaddr=1.2.3.4"),)
    ),
    "stranger-no-loader": Stranger(NOW, "m", 1, "no-loader", NOW),
    "stranger-no-address": Stranger(NOW, "m", 1, "pool-exhausted", NOW),
    "stranger-known-reason": Stranger(NOW, "m", 1, "awaiting-approval", NOW),
    "stranger-booting": Stranger(NOW, "m", 2, "script", NOW),
    "stranger-no-boot": Stranger(NOW, "m", address="10.77.1.50", leased_until=NOW),
}


@pytest.mark.parametrize("code", [rule.code for rule in STRANGER_RULES])
def test_a_stranger_is_told_by_its_own_rule(code: str) -> None:
    cause = explain_stranger(STRANGERS[code])

    assert cause.code == code
    assert "{" not in cause.sentence + cause.next_step


@pytest.mark.parametrize("code", sorted(SILENCES))
def test_every_silence_is_a_sentence_and_a_next_step_for_strangers_and_hosts(code: str) -> None:
    one = Ignored(NOW, code, 3, "prov", "interface=prov0 giaddr=10.9.9.9")

    stranger = explain_stranger(Stranger(NOW, "52:54:00:00:00:01", ignored=(one,)))
    waiting = explain(replace(waits(), ignored=(one,)))

    said = SILENCES[code]
    for cause in (stranger, waiting):
        assert said.sentence.rstrip(".") in cause.sentence
        assert "3 packets (prov, interface prov0, giaddr 10.9.9.9), last at 12:00:00 UTC" in cause.sentence
        assert "MAC" not in cause.next_step.split()
        assert "{" not in cause.sentence + cause.next_step
    assert (stranger.code, stranger.reason) == ("stranger-unanswered", code)
    assert waiting.code == "no-dhcp-answer"


def test_a_silence_before_an_answer_is_history() -> None:
    one = Ignored(OLD, "pool-exhausted")

    asked_since = explain_stranger(Stranger(NOW, "m", 1, "script", NOW, ignored=(one,)))
    leased_since = explain_stranger(
        Stranger(NOW, "m", address="10.0.0.5", leased_at=NOW, leased_until=NOW, ignored=(one,))
    )

    assert (asked_since.code, leased_since.code) == ("stranger-booting", "stranger-no-boot")


@pytest.mark.parametrize(
    ("log", "code"),
    [
        (b"Kernel panic - not syncing: x\r\n[    0.000000] Linux version 6.1\r\nok\r\n", None),
        (
            b"iPXE (http://ipxe.org)\nhttp://e/boot.ipxe... No such file (http://ipxe.org/2d0c618e)\n",
            "network-boot-failed",
        ),
        (b"\x1b[0m\x1b[2Jweb-01 login: ", "login-prompt"),
        (b"blk_update_request: I/O error, dev sda\nweb-01 login: ", "login-prompt"),
        (b"blk_update_request: I/O error, dev sda\nretrying\n", "disk-errors"),
        (b"Kernel panic - not syncing: x\n---[ end Kernel panic - not syncing: x ]---\n", "kernel-panic"),
        (b"bootos: 9.1 report-in failed: timed out\nbootos: 12.0 reported in to http://e (204)\n", None),
        (b"\xff\x00\x9b" * 50, None),
        (b"", None),
    ],
)
def test_the_end_of_a_log_is_read_from_its_last_start(log: bytes, code: str | None) -> None:
    found = read(clean(log))

    assert (found[0].code if found else None) == code


@given(st.binary(max_size=400))
def test_no_bytes_of_a_machine_break_the_reading(log: bytes) -> None:
    lines = clean(log)

    assert all(line.isprintable() and len(line) <= LINE_CHARS for line in lines)
    assert read(lines) is None or read(lines) in [(sign, line) for sign in SIGNS for line in lines]


def test_a_console_is_not_believed_until_the_machine_had_time_to_start_anew() -> None:
    then = SITUATIONS["booted-disk"]
    assert then.job is not None
    assert then.job.wait is not None
    wait = then.job.wait.model_copy(update={"since": NOW - timedelta(seconds=20)})

    cause = explain(replace(then, job=then.job.model_copy(update={"wait": wait})))

    assert cause.code == "boot-begins"


@pytest.mark.parametrize("kind", [lambda text: f"{text}{{evil}}", lambda text: text * 200])
def test_what_a_machine_writes_stays_text(kind: Callable[[str], str]) -> None:
    line = clean(kind("Kernel panic - not syncing {0} %s").encode())

    cause = explain(replace(SITUATIONS["kernel-panic"], console=Console(3, "boot-os", line)))

    assert (cause.code, len(cause.sentence) < 500) == ("kernel-panic", True)
