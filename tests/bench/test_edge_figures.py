"""What the edge's benchmark reads and prints, on canned outputs: no server runs and nothing is timed."""

import io
import json

import pytest
from rich.console import Console

from bench.edge import http, loaders, memory, page, perfdhcp, processes, reports, results, table
from bench.edge.results import Aim, Figure, Row, Section
from bench.edge.run import Options, Run, figure
from bench.edge.testbed import BenchError

PERFDHCP = """
***Rate statistics***
Rate: 666.284 4-way exchanges/second, expected rate: 1000
***Statistics for: DISCOVER-OFFER***
sent packets: 2000
received packets: 1999
non unique addresses: 0
avg delay: 2.743 ms

***Statistics for: REQUEST-ACK***
sent packets: 1999
received packets: 1970
non unique addresses: 2
avg delay: 2.643 ms
"""
STORM = PERFDHCP + "\nIt took 00:01:05.069273 to provision 1970 clients. \n"
LOAD = {
    **dict.fromkeys(("lost", "naks"), 0),
    "exchanges": 3000,
    "seconds": 2.0,
    "repeats": 2,
    "doubled": 1,
    "offer_us": {"p50": 100, "p99": 300, "max": 900},
    "ack_us": {"p50": 200, "p99": 400, "max": 500},
    "exchange_us": {"p50": 1500, "p99": 4000, "max": 9000},
}
STAT = "4242 (tftpd (child) 2) S 7 4242 4242 0 -1 0 0 0 0 0 150 50 25 25 20 0 1 0 99 1000 300 0"


def test_perfdhcp_counts_what_came_to_its_end() -> None:
    seen = perfdhcp.read_rate(PERFDHCP)

    assert (seen.sent, seen.completed, seen.delay_ms) == (2000, 1970, 2.643)
    assert seen.lost_share == pytest.approx(0.015)


def test_an_avalanche_says_who_was_served_and_what_was_given_twice() -> None:
    storm = perfdhcp.read_avalanche(STORM)

    assert storm.seconds == pytest.approx(65.069273)
    assert storm.note == "1,970 of 1,970 served, 2 addresses given twice"


def test_output_that_is_none_is_an_error() -> None:
    with pytest.raises(BenchError, match="perfdhcp printed nothing of DISCOVER-OFFER: unable"):
        perfdhcp.read_rate("unable to open socket")
    with pytest.raises(BenchError, match="did not end its avalanche"):
        perfdhcp.read_avalanche(PERFDHCP)


def test_the_load_tells_rate_percentiles_and_faults() -> None:
    seen = loaders.read_exchanges(json.dumps(LOAD))

    assert seen.per_s == 1500
    assert seen.longest_offer_ms == 0.9
    assert seen.note == "p50 1.5 ms, p99 4.0 ms, 2 repeated, 1 given twice"


WRK = """
  1 threads and 64 connections
  208 requests in 4.00s, 3.25GB read
  Socket errors: connect 0, read 1, write 0, timeout 2
  Non-2xx or 3xx responses: 3
Transfer/sec:    831.50MB
"""


def test_wrk_tells_bytes_and_what_failed() -> None:
    seen = http.read_wrk(WRK)

    assert (seen.bytes, seen.seconds, seen.failed) == (int(3.25 * (1 << 30)), 4.0, 6)
    assert http.read_wrk("0 requests in 900.00ms, 0.00B read").note == ""
    with pytest.raises(BenchError, match="unable to connect"):
        http.read_wrk("unable to connect")


def test_the_tftp_load_tells_failures_with_their_reason() -> None:
    told = {
        "transfers": 9,
        "failed": 1,
        "reason": "no answer",
        "repeats": 3,
        "wrong": 0,
        "bytes": 9000,
        "seconds": 3.0,
        "blksize": 1468,
        "windowsize": 16,
    }
    seen = loaders.read_transfers(json.dumps(told))

    assert (seen.per_s, seen.windowsize) == (3000, 16)
    assert seen.note == "3 repeated, 1 failed (no answer)"


def test_reports_are_matched_to_runs_by_the_machine() -> None:
    told = [{"mac": f"02:be:00:00:00:0{n}", "reported_s": 1000.0 + n, "heard": True} for n in range(4)]
    runs = [
        {"tags": ["rackflow", f"host:mac-02be0000000{n}"], "created": f"1970-01-01T00:16:{at}Z"}
        for n, at in (
            (0, "40.500000"),
            (1, "42.000000"),
            (1, "49.000000"),
            (2, "44.000000"),
            (7, "50.000000"),
        )
    ]
    seen = reports.outcome(told, runs)

    assert seen.delays_s == (0.5, 1.0, 2.0)
    assert (seen.lost, seen.doubled, seen.seconds) == (1, 1, 4.0)
    assert (seen.quantile(0.5), seen.quantile(1)) == (1.0, 2.0)


def test_the_highest_memory_is_read_from_its_line() -> None:
    assert memory.read_peak_kib("Name:\tx\nVmPeak:\t 900 kB\nVmHWM:\t  1234 kB\nVmRSS:\t 1000 kB\n") == 1234


def test_processor_time_of_a_family_counts_the_living_and_the_dead() -> None:
    child = processes.read_stat(STAT)
    root = processes.Stat(7, 1, 0.5, 4096)
    other = processes.Stat(9, 1, 8.0, 4096)
    members = processes.family({stat.pid: stat for stat in (child, root, other)}, 7)

    assert child.parent == 7
    assert processes.cpu_s(members) == pytest.approx(0.5 + 250 / processes.TICKS_PER_S)
    assert processes.rss_bytes(members) == 4096 + 300 * processes.PAGE_BYTES


ROW = Row(
    "exchanges",
    "/s",
    Figure((3000.0, 2600.0, 4000.0), (30.0, 26.0, 50.0), note="p50 1.0 ms"),
    "Kea",
    Figure((1500.0, 2000.0, 1600.0), (100.0, 104.0, 100.0)),
    "µs",
    (Aim("ratio", ">=", 2.0, 1.2), Aim("cpu", "<=", 0.2, 0.45), Aim("value", "<=", 20)),
)
GONE = Row("exchanges", "/s", ROW.ours, "ISC dhcpd", Figure(missing="isc-dhcp-server is not unpacked"))
SECTION = Section("exchanges", (ROW, GONE), "0123456789", "2026-01-01 00:00", "2 x CPU", "3 rounds", ("so",))


def test_ratios_are_of_pairs_of_rounds() -> None:
    assert ROW.of("ratio") == 2.0  # of 2.0, 1.3, 2.5; the medians' ratio would be 1.9
    assert ROW.of("cpu") == 0.3
    assert ROW.of("value") == 3000


@pytest.mark.parametrize(
    ("aim", "figure", "verdict"),
    [
        (Aim("ratio", ">=", 2.0, 1.2), 2.0, "met"),
        (Aim("ratio", ">=", 2.0, 1.2), 1.2, "met in the least"),
        (Aim("ratio", ">=", 2.0, 1.2), 1.19, "not met"),
        (Aim("cpu", "<=", 0.3, 0.45), 0.31, "met in the least"),
        (Aim("cpu", "<=", 0.3, 0.45), 0.46, "not met"),
        (Aim("value", "<=", 20), 20.5, "not met"),
        (Aim("value", "<=", 20), None, "not measured"),
    ],
)
def test_verdicts(aim: Aim, figure: float | None, verdict: str) -> None:
    assert aim.verdict(figure) == verdict


def test_a_section_survives_its_file() -> None:
    told = json.loads(json.dumps(results.encode(SECTION)))

    assert results.decode(told) == SECTION
    assert told["rows"][0]["verdicts"][1] == {
        "aim": "CPU ≤ 0.2 x (least 0.45 x)",
        "verdict": "met in the least",
    }


def test_the_table_shows_figures_verdicts_and_who_is_missing() -> None:
    out = io.StringIO()
    Console(width=250, file=out).print(table.rich_table([SECTION]))
    said = out.getvalue()

    assert "3,000/s (2,600-4,000)" in said
    assert "≥ 2 x (least 1.2 x): met" in said
    assert "p50 1.0 ms" in said
    assert "isc-dhcp-server is not unpacked" in said
    assert table.circumstances([SECTION])[-1] == "  so"


def test_the_page_keeps_what_is_written_by_hand() -> None:
    text = f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n"
    made = page.replaced(text, [SECTION])

    assert made.startswith("before\n")
    assert made.endswith("\nafter\n")
    assert "old" not in made
    assert "CPU ≤ 0.2 x (least 0.45 x): **met in the least**" in made
    assert page.replaced(made, [SECTION]) == made
    with pytest.raises(BenchError, match="lacks"):
        page.replaced("no markers", [SECTION])


def test_a_peer_that_fails_is_shown_and_ours_that_fails_fails_all(tmp_path) -> None:
    run = Run(None, Options(rounds=2), lambda _: None)
    calls = []

    def measure(name):
        calls.append(name)
        if name == "Kea":
            raise BenchError("no answer")
        return 2.0, 1.0, "note"

    figures = run.rounds(("Kea", "ours"), measure)

    assert calls == ["Kea", "ours", "ours"]
    assert figures["Kea"].missing == "no answer"
    assert figures["ours"].values == (2.0, 2.0)
    with pytest.raises(BenchError):
        run.rounds(("ours",), lambda _: measure("Kea"))


def test_a_figure_takes_its_note_from_the_middle_round() -> None:
    assert figure([(3.0, 1.0, "c"), (1.0, 1.0, "a"), (2.0, 1.0, "b")]).note == "b"
    assert figure([]).missing == "not measured"
