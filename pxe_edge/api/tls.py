"""The control plane's TLS: a site CA of the edge's own making, and a server certificate under it.

Made at first start. The server certificate is made anew when it is about to end or lacks one of the
addresses that the edge has now; the CA stays, so what trusts it goes on trusting.
"""

import socket
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pxe_edge.registry.sealing import write_private, write_whole

CA_DAYS = 3650
SERVER_DAYS = 397
RENEW_DAYS = 30
_SKEW = timedelta(minutes=5)


def ensure(folder: Path, addresses: Iterable[str], now: datetime) -> tuple[Path, Path]:
    """Make what is missing; returns certificate and key file of the server."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca_file, ca_key_file = folder / "ca.pem", folder / "ca.key"
    # An empty one is what an earlier version left that was killed here; nobody trusts it yet.
    if not (ca_file.exists() and ca_file.stat().st_size and ca_key_file.exists()):
        ca_key = generate_private_key(SECP256R1())
        write_private(ca_key_file, _pem(ca_key))
        write_whole(ca_file, _ca(ca_key, now).public_bytes(Encoding.PEM))
    names = sorted({"127.0.0.1", "::1", *addresses})
    server_file, key_file = folder / "server.pem", folder / "server.key"
    if not (server_file.exists() and key_file.exists() and _good(server_file, key_file, names, now)):
        signer = load_pem_private_key(ca_key_file.read_bytes(), password=None)
        assert isinstance(signer, EllipticCurvePrivateKey)
        ca = x509.load_pem_x509_certificate(ca_file.read_bytes())
        key = generate_private_key(SECP256R1())
        write_private(key_file, _pem(key))
        write_whole(server_file, _server(key, ca, signer, names, now).public_bytes(Encoding.PEM))
    return server_file, key_file


def _pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _ca(key: EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    return (
        x509.CertificateBuilder()
        .subject_name(_name("rackflow site CA"))
        .issuer_name(_name("rackflow site CA"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server(
    key: EllipticCurvePrivateKey,
    ca: x509.Certificate,
    signer: EllipticCurvePrivateKey,
    addresses: Iterable[str],
    now: datetime,
) -> x509.Certificate:
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    host = socket.gethostname()
    if host.isascii() and host != "localhost":
        names.append(x509.DNSName(host))
    names += [x509.IPAddress(ip_address(address)) for address in addresses]
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(_name("rackflow edge"))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=SERVER_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(signer, hashes.SHA256())
    )


def _good(file: Path, key_file: Path, addresses: Iterable[str], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        key = load_pem_private_key(key_file.read_bytes(), password=None)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    if key.public_key() != certificate.public_key():  # of an edge that was killed between the two
        return False
    there = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    return there >= set(addresses) and certificate.not_valid_after_utc > now + timedelta(days=RENEW_DAYS)
