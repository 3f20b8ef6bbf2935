"""Clocks (injected) and certificates."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import pytest
from cryptography import x509

from metal.doctor.certificates import check_certificates, judge_dates, judge_issuer, judge_names
from metal.doctor.clock import check_clock, judge_skew
from metal.doctor.surroundings import Surroundings, clock_ahead_s
from pxe_edge.api.tls import ensure
from tests.metal.doctor.conftest import NOW, with_edge


@pytest.mark.parametrize(
    ("theirs", "ahead"), [(NOW, 0), (NOW + 0.4, 0), (NOW + 90, 90), (NOW - 90, -89), (NOW - 1, 0)]
)
def test_a_clock_by_its_http_date(theirs: float, ahead: float) -> None:
    assert clock_ahead_s(formatdate(theirs, usegmt=True), NOW, NOW + 0.01) == pytest.approx(ahead, abs=0.1)


@pytest.mark.parametrize("date", [None, "yesterday", ""])
def test_no_date_is_no_difference(date: str | None) -> None:
    assert clock_ahead_s(date, NOW, NOW) is None
    assert judge_skew("x", None).status == "skipped"


@pytest.mark.parametrize(
    ("ahead_s", "status", "words"),
    [
        (0.0, "ok", "agrees"),
        (-5.0, "warning", "it is 5 s behind this machine's"),
        (300.0, "failed", "it is 300 s ahead of this machine's"),
    ],
)
def test_the_edges_clock(
    around: Surroundings, tmp_path: Path, ahead_s: float, status: str, words: str
) -> None:
    laptop = replace(with_edge(around, clock_ahead_s=ahead_s), on_edge_host=False)

    found = {f.name: f for f in check_clock(laptop, rtc=tmp_path / "none")}

    assert (found["edge's clock"].status, words in found["edge's clock"].message) == (status, True)
    assert found["hardware clock"].status == "skipped"


def test_a_machine_that_woke_up_in_1970(around: Surroundings, tmp_path: Path) -> None:
    (tmp_path / "rtc").write_text("7\n")

    found = {f.name: f for f in check_clock(replace(around, now=lambda: 7.0), rtc=tmp_path / "rtc")}

    assert found["this machine's clock"].status == "failed"
    assert found["hardware clock"].status == "ok"


def test_a_hardware_clock_in_local_time(around: Surroundings, tmp_path: Path) -> None:
    (tmp_path / "rtc").write_text(f"{NOW + 7200:.0f}\n")

    found = {f.name: f for f in check_clock(around, rtc=tmp_path / "rtc")}

    assert found["hardware clock"].message == "it is 7200 s off the system's"


@pytest.fixture
def made(tmp_path: Path) -> tuple[x509.Certificate, x509.Certificate]:
    """Certificate and CA as the edge makes them."""
    ensure(tmp_path, ["10.99.0.1"], datetime.fromtimestamp(NOW, UTC))
    server, ca = (tmp_path / name for name in ("server.pem", "ca.pem"))
    return x509.load_pem_x509_certificate(server.read_bytes()), x509.load_pem_x509_certificate(
        ca.read_bytes()
    )


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [
        (0, "ok", "good until"),
        (390, "warning", "it ends in 7 days"),
        (398, "failed", "it ended on"),
        (-1, "failed", "it is valid from"),
    ],
)
def test_certificates_end(
    made: tuple[x509.Certificate, x509.Certificate], days: int, status: str, words: str
) -> None:
    now = datetime.fromtimestamp(NOW, UTC) + timedelta(days=days)

    verdict = judge_dates("edge's certificate", made[0], now, 14)

    assert (verdict.status, verdict.message.startswith(words)) == (status, True)


def test_a_certificate_is_for_names(made: tuple[x509.Certificate, x509.Certificate]) -> None:
    assert judge_names(made[0], "10.99.0.1").status == "ok"
    assert judge_names(made[0], "localhost").status == "ok"
    wrong = judge_names(made[0], "10.0.0.5")
    assert wrong.status == "failed"
    assert "10.99.0.1" in wrong.message
    assert "not for 10.0.0.5" in wrong.message


def test_a_certificate_of_another_edge(
    made: tuple[x509.Certificate, x509.Certificate], tmp_path: Path
) -> None:
    ensure(tmp_path / "other", [], datetime.fromtimestamp(NOW, UTC))
    other = x509.load_pem_x509_certificate((tmp_path / "other" / "ca.pem").read_bytes())

    assert judge_issuer(made[0], made[1], "ca.pem").status == "ok"
    assert judge_issuer(made[0], other, "ca.pem").status == "failed"


def test_a_ca_file_that_is_missing_or_is_none(around: Surroundings) -> None:
    (missing,) = check_certificates(around)
    assert missing.status == "failed"
    assert "there is no CA file" in missing.message

    assert around.address.ca_file is not None
    around.address.ca_file.write_text("hello")
    (unreadable,) = check_certificates(around)
    assert "can't be read" in unreadable.message
