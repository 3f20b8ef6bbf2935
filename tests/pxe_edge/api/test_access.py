"""Tokens, scopes, limits, problem+json, spec sets, registration, consoles, the OpenAPI document."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pxe_edge.api import tls
from pxe_edge.api.app import create_app

MAC = "52:54:00:00:00:0a"
ADMIN_ONLY = [
    ("POST", "/v1/hosts", {"name": "a"}),
    ("POST", "/v1/hosts/approve", {"what": "a"}),
    ("DELETE", "/v1/hosts/a", None),
    ("POST", "/v1/consents", {"host": "a", "by": "x"}),
    ("POST", "/v1/specsets", {"files": {}}),
    ("PUT", "/v1/specsets/current", {"id": "x"}),
    ("PUT", "/v1/secrets/a", {"value": "x"}),
    ("POST", "/v1/images", {"name": "a"}),
    ("POST", "/v1/hosts/a/console/release", {}),
    ("GET", "/v1/hosts/a/credentials", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ADMIN_ONLY)
def test_scopes(site: Any, method: str, path: str, body: Any) -> None:
    refused = site.raw(method, path, json=body)
    assert (refused.status_code, refused.json()["code"]) == (401, "token")
    assert refused.headers["content-type"] == "application/problem+json"
    assert site.raw(method, path, json=body, headers={"Authorization": "Bearer x"}).status_code == 401
    assert site.call(method, path, json=body, expect=403)["code"] == "forbidden"


def test_every_call_but_health_needs_a_token(site: Any) -> None:
    open_calls = []
    for path, operations in site.app.openapi()["paths"].items():
        for method in operations:
            asked = path.replace("{name}", "a").replace("{no}", "1")
            if site.raw(method.upper(), asked).status_code != 401:
                open_calls.append((method, path))
    assert open_calls == [("get", "/v1/healthz")]


def test_the_openapi_document_needs_no_registry() -> None:
    document = create_app().openapi()
    assert document["openapi"].startswith("3.1")
    assert "/v1/hosts/{name}/lease" in document["paths"]


def test_large_bodies_and_malformed_ones_are_refused_without_an_echo(site: Any) -> None:
    admin = site.token("admin")
    large = site.raw("PUT", "/v1/secrets/a", headers=admin, content=b"x" * ((1 << 20) + 1))
    assert large.status_code == 413
    wrong = site.raw("PUT", "/v1/secrets/a", headers=admin, json={"valeu": "hunter2"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid")
    assert "hunter2" not in wrong.text
    assert site.raw("GET", "/v1/nothing", headers=admin).headers["content-type"] == "application/problem+json"


def test_a_bad_set_changes_nothing_and_says_all(site: Any) -> None:
    before = site.registry.specset
    bad = "apiVersion: rackflow/v1\nkind: Host\nmetadata: {name: a}\nhostnam: x\nraid: 5\n"
    answer = site.call("POST", "/v1/specsets", scope="admin", expect=422, json={"files": {"a.yaml": bad}})
    assert answer["code"] == "findings"
    assert {(f["file"], f["line"]) for f in answer["findings"]} >= {("a.yaml", 4), ("a.yaml", 5)}
    empty = site.call("POST", "/v1/specsets", scope="admin", expect=422, json={"files": {}})
    assert any("Site" in f["message"] for f in empty["findings"])
    assert site.registry.specset == before


def test_publishing_over_another_set_is_refused(site: Any) -> None:
    files = {"site.yaml": site.call("GET", "/v1/specsets/current")["files"]["site.yaml"] + "\n# more\n"}
    body = {"files": files, "expected_current": "0" * 32}
    assert site.call("POST", "/v1/specsets", scope="admin", expect=409, json=body)["code"] == "version"
    stored = site.call("POST", "/v1/specsets", scope="admin", expect=201, json={**body, "force": True})
    assert stored["dirty"] is True
    site.call("PUT", "/v1/specsets/current", scope="admin", json={"id": stored["id"]})
    assert site.call("GET", "/v1/healthz")["specset"] == stored["id"]


def test_a_spec_binds_a_host_that_is_added_before_it_is_seen(site: Any) -> None:
    files = dict(site.call("GET", "/v1/specsets/current")["files"])
    files["web.yaml"] = (
        f'apiVersion: rackflow/v1\nkind: Host\nmetadata: {{name: web-01}}\nmatch: {{mac: "{MAC}"}}\n'
        "files: [{path: /etc/a, source: data/a.bin}]\n"
    )
    files["data/a.bin"] = {"base64": "AP8="}
    stored = site.call("POST", "/v1/specsets", scope="admin", expect=201, json={"files": files})
    site.call("PUT", "/v1/specsets/current", scope="admin", json={"id": stored["id"]})
    site.call("PUT", "/v1/secrets/ops", scope="admin", json={"value": "x"})
    body = {
        "name": "first",
        "mac": MAC,
        "bmc": {"address": "10.77.9.9", "user": "root", "password": "calvin"},
    }
    host = site.call("POST", "/v1/hosts", scope="admin", expect=201, json=body)
    assert (host["name"], host["spec"], host["phase"]) == ("web-01", "web-01", "registered")
    order = site.call("GET", "/v1/hosts/first/order")
    assert order["spec"]["metadata"]["name"] == "web-01"
    assert order["file_sources"] == {"data/a.bin": "AP8="}
    assert order["secrets"] == {"ops": 1}
    lock = site.call("POST", "/v1/hosts/web-01/bmc-lock", json={"owner": "run-1", "ttl_s": 30})
    assert [(c["user"], c["password"], c["state"]) for c in lock["credentials"]] == [
        ("root", "calvin", "factory")
    ]
    other = {"owner": "run-2", "ttl_s": 30}
    assert "run-1" in site.call("POST", "/v1/hosts/web-01/bmc-lock", expect=409, json=other)["detail"]
    site.clock.forward(31)
    site.call("POST", "/v1/hosts/web-01/bmc-lock", json=other)
    kinds = [e["kind"] for e in site.call("GET", "/v1/hosts/web-01/timeline")["items"]]
    assert kinds.count("secret") == 2
    site.call("DELETE", "/v1/hosts/web-01", scope="admin", expect=204)
    assert site.call("GET", "/v1/hosts/web-01", expect=404)["hint"] == "rackflow hosts"


def test_secrets_are_audited_versions(site: Any) -> None:
    for value, version in (("one", 1), ("one", 1), ("two", 2)):
        assert site.call("PUT", "/v1/secrets/ops", scope="admin", json={"value": value})["version"] == version
    assert site.call("GET", "/v1/secrets")["items"] == [{"name": "ops", "version": 2}]
    assert site.call("POST", "/v1/secrets/ops/value")["value"] == "two"
    assert site.call("POST", "/v1/secrets/none/value", expect=404)["code"] == "secret-missing"
    key = site.call("POST", "/v1/secrets/management-key")
    assert key["private_key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    said = [e["text"] for e in site.call("GET", "/v1/events")["items"] if e["kind"] == "secret"]
    assert "secret:ops@2 read" in said
    assert "management key read" in said


def test_plans_are_immutable(site: Any) -> None:
    site.call("PUT", "/v1/plans/sha256:aa", expect=204, json={"host": "a", "steps": []})
    site.call("PUT", "/v1/plans/sha256:aa", expect=204, json={"host": "a", "steps": []})
    site.call("PUT", "/v1/plans/sha256:aa", expect=409, json={"host": "b", "steps": []})
    later = {"host": "a", "steps": [], "observed_at": "2026-11-26T08:00:00Z", "notes": ["read again"]}
    site.call("PUT", "/v1/plans/sha256:aa", expect=204, json=later)  # made anew after a crash
    assert site.call("GET", "/v1/plans/sha256:aa") == {"host": "a", "steps": []}


def test_console_bytes_go_where_they_belong(reported: Any) -> None:
    site, path = reported, "/v1/hosts/mac-52540000000a/boots/1/console"
    site.call("PUT", path, expect=204, params={"offset": 0}, content=b"\x00boot\xff")
    assert site.call("PUT", path, expect=409, params={"offset": 2}, content=b"x")["size"] == 6
    site.call("PUT", path, expect=204, params={"offset": 6}, content=b"more")
    got = site.raw("GET", path, headers=site.token("admin"), params={"offset": 4, "limit": 4})
    assert got.content == b"t\xffmo"
    boots = site.call("GET", "/v1/hosts/mac-52540000000a/boots")["items"]
    assert [(row["boot_no"], row["console_bytes"]) for row in boots] == [(1, 10)]
    row = site.call("GET", "/v1/console")["items"][0]
    assert (row["boot_no"], row["bmc"], row["released_until"]) == (1, False, None)
    site.call("POST", "/v1/hosts/mac-52540000000a/console/release", scope="admin", json={"minutes": 5})
    assert site.call("GET", "/v1/console", scope="console")["items"][0]["released_until"] is not None


@pytest.mark.parametrize("name", ["ca.pem", "server.pem"])
def test_an_edge_that_is_killed_while_it_makes_a_certificate_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    put = Path.replace

    def killed(beside: Path, target: Path) -> Path:
        if target.name == name:
            raise KeyboardInterrupt
        return put(beside, target)

    with monkeypatch.context() as once:
        once.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            tls.ensure(tmp_path, ["10.77.1.2"], datetime.now(UTC))
    assert not (tmp_path / name).exists()
    (tmp_path / name).touch()  # as before certificates were put in place whole

    certificate, key = tls.ensure(tmp_path, ["10.77.1.2"], datetime.now(UTC))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)


def test_a_certificate_of_another_key_is_made_anew(tmp_path: Path) -> None:
    """The key of a renewed one is in place, and the edge was killed before the certificate was."""
    now = datetime(2026, 11, 25, tzinfo=UTC)
    certificate, _ = tls.ensure(tmp_path, ["10.77.1.2"], now)
    old = certificate.read_bytes()
    tls.ensure(tmp_path, ["10.77.1.2", "10.77.1.3"], now)
    certificate.write_bytes(old)

    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*tls.ensure(tmp_path, ["10.77.1.2"], now))


def test_the_ca_stays_and_the_server_certificate_follows_the_addresses(tmp_path: Path) -> None:
    now = datetime(2026, 11, 25, tzinfo=UTC)
    server, key = tls.ensure(tmp_path, ["10.77.1.2"], now)
    ca, first = (tmp_path / "ca.pem").read_bytes(), server.read_bytes()
    assert key.stat().st_mode & 0o077 == 0
    tls.ensure(tmp_path, ["10.77.1.2"], now + timedelta(days=300))
    assert server.read_bytes() == first
    tls.ensure(tmp_path, ["10.77.1.2", "10.77.1.3"], now)
    assert server.read_bytes() != first
    second = server.read_bytes()
    tls.ensure(tmp_path, ["10.77.1.2"], now + timedelta(days=380))
    assert server.read_bytes() != second
    assert (tmp_path / "ca.pem").read_bytes() == ca
    signed = x509.load_pem_x509_certificate(server.read_bytes())
    signed.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
    ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))


@pytest.mark.parametrize("path", ["/v1/plans/blob", "/v1/secrets/blob", "/v1/hosts/a/conditions/blob"])
def test_only_an_image_may_be_large(site: Any, path: str) -> None:
    # These handlers' bodies are read whole, and before the token is looked at.
    refused = site.raw("PUT", path, content=b"x" * ((1 << 20) + 1))
    assert (refused.status_code, refused.json()["code"]) == (413, "too-large")


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/hosts/a/jobs/{10**30}",
        f"/v1/events?after={10**30}",
        f"/v1/hosts/a/timeline?after={10**30}",
        "/v1/hosts/a/timeline?after=\N{SUPERSCRIPT TWO}",
    ],
)
def test_numbers_that_no_row_has_are_refused_not_stumbled_over(site: Any, path: str) -> None:
    site.call("POST", "/v1/hosts", scope="admin", json={"name": "a", "mac": MAC}, expect=201)
    assert site.raw("GET", path, headers=site.token("worker")).status_code in (200, 422)


@pytest.mark.parametrize("value", ['"\\udcff"', "NaN", '{"a":' * 80 + "1" + "}" * 80])
def test_what_could_never_be_read_again_is_not_stored(site: Any, value: str) -> None:
    headers = {**site.token("admin"), "Content-Type": "application/json"}
    plan = site.raw("PUT", "/v1/plans/p", content=f'{{"a": {value}}}', headers=headers)
    assert plan.status_code == 422
    site.call("POST", "/v1/hosts", scope="admin", json={"name": "a", "mac": MAC}, expect=201)
    wish = f'{{"verb": "power", "args": {{"a": {value}}}}}'
    assert site.raw("POST", "/v1/hosts/a/jobs", content=wish, headers=headers).status_code == 422
    assert site.call("GET", "/v1/hosts/a/jobs")["items"] == []
