"""The control plane's TLS: the CA that is trusted here, what the edge shows, and for which names."""

import socket
import ssl
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from cryptography import x509

from metal.doctor.findings import Finding, failed, ok, skipped, warning
from metal.doctor.surroundings import Surroundings, today

CA_WARN_DAYS: Final = 90
SERVER_WARN_DAYS: Final = 14
"""The edge makes a new one at its start in the last 30 days."""
_CONNECT_S: Final = 5.0


def check_certificates(around: Surroundings) -> Iterator[Finding]:
    """CA file, the server's certificate as it is shown, and whether they belong together."""
    ca_file = around.address.ca_file
    if ca_file is None or not ca_file.exists():
        said = f"there is no CA file {ca_file}"
        yield failed("CA file", said, "copy <data>/edge/tls/ca.pem of the edge; set RACKFLOW_CA_FILE")
        return
    try:
        ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
    except (OSError, ValueError) as error:
        yield failed(
            "CA file", f"{ca_file} can't be read: {error}", "copy <data>/edge/tls/ca.pem of the edge"
        )
        return
    yield judge_dates("CA", ca, today(around), CA_WARN_DAYS)
    url = urlsplit(around.address.url)
    host, port = url.hostname or "", url.port or 443
    try:
        shown = shown_certificate(host, port)
    except OSError as error:
        yield skipped("edge's certificate", f"{host}:{port} does not answer: {error.strerror or error}")
        return
    yield judge_dates("edge's certificate", shown, today(around), SERVER_WARN_DAYS)
    yield judge_names(shown, host)
    yield judge_issuer(shown, ca, str(ca_file))


def shown_certificate(host: str, port: int) -> x509.Certificate:
    """What the server shows, trusted or not: an expired one is what is looked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((host, port), timeout=_CONNECT_S) as plain,
        context.wrap_socket(plain) as wrapped,
    ):
        return x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True) or b"")


def judge_dates(name: str, certificate: x509.Certificate, now: datetime, warn_days: int) -> Finding:
    """The verdict on a certificate's time."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        return failed(name, f"it is valid from {begins:%Y-%m-%d %H:%M} UTC on", "set this machine's clock")
    renew = (
        "start the edge again, it makes a new one"
        if warn_days == SERVER_WARN_DAYS
        else "stop the edge, remove <data>/edge/tls, start it, and give workers the new ca.pem"
    )
    if now >= ends:
        return failed(name, f"it ended on {ends:%Y-%m-%d}", renew)
    days = (ends - now).days
    if days < warn_days:
        return warning(name, f"it ends in {days} days, on {ends:%Y-%m-%d}", renew)
    return ok(name, f"good until {ends:%Y-%m-%d}")


def judge_names(certificate: x509.Certificate, host: str) -> Finding:
    """Whether the certificate is for the name or address by which the edge is called."""
    name = "edge's names"
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return failed(name, "its certificate names no host", "start the edge again, it makes a new one")
    known = [str(a) for a in names.get_values_for_type(x509.IPAddress)]
    known += names.get_values_for_type(x509.DNSName)
    if _canonical(host) in known:
        return ok(name, f"the certificate is for {host}")
    said = f"the certificate is for {', '.join(known)}, not for {host}"
    use = "use one of these in RACKFLOW_EDGE_URL; for a new address of the edge, start it again"
    return failed(name, said, use)


def _canonical(host: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        return host


def judge_issuer(certificate: x509.Certificate, ca: x509.Certificate, ca_file: str) -> Finding:
    """Whether the CA file is the one that signed."""
    try:
        certificate.verify_directly_issued_by(ca)
    except Exception:  # noqa: BLE001 - ValueError, TypeError or InvalidSignature: it is not by this CA
        said = f"the edge's certificate is not signed by {ca_file}: another edge's, or an old copy"
        return failed("edge's issuer", said, "copy <data>/edge/tls/ca.pem of this edge")
    return ok("edge's issuer", f"signed by {ca_file}")
