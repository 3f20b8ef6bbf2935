"""The programs that run in the machine, and what is made of their answers."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from metal.drivers.guest import agent, announce
from metal.drivers.guest.document import PYTHON, Document, GuestFile, Link
from metal.drivers.guest.facts import SUDO_RULE, Question, Reading, read_system
from metal.drivers.guest.sha512_crypt import is_password, make_hash
from metal.errors import Refused, Unparsable
from metal.protocols import Output
from metal.testing.fake_shell import FakeShell
from specs.records import SecretValue

KEY = "ssh-ed25519 AAAAC3 site"


def raw(**more):
    answer = {
        "hostname": "web-01\n",
        "os_release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
        "install": None,
        "users": {"rackflow": None},
        "files": {},
        "network": {},
        "fstab": "# c\nUUID=1   /data\text4 defaults 0 2\n",
        "host_key": "ssh-ed25519 AAAAhost root@x\n",
        "texts": {},
        "present": {"/usr/lib/rackflow/rf-exec": True},
        "live": None,
    }
    return answer | more


# Vectors of the algorithm's own specification (SHA-crypt.txt).
@pytest.mark.parametrize(
    ("password", "field"),
    [
        (
            "Hello world!",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
        (
            "Hello world!",
            "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
        ),
    ],
)
def test_sha512_crypt_is_the_one_of_the_specification(password, field):
    assert is_password(password, field)
    assert not is_password(password + "x", field)


@pytest.mark.parametrize(
    "field", ["", "*", "!", "$y$j9T$abc$def", "$6$rounds=x$a$b", "$6$rounds=9999999$a$b", "$6$a"]
)
def test_a_shadow_field_of_another_making_is_not_our_password(field):
    assert not is_password("secret", field)


def test_facts_say_yes_or_no_for_secrets_and_never_a_hash():
    secret = SecretValue(name="ops", version=1, value="hunter2")
    hashed = make_hash("hunter2", "abcd")
    user = {"shell": "/bin/bash", "keys": [KEY], "sudo": SUDO_RULE.format(name="ops"), "shadow": hashed}
    manager = {"shell": "/bin/bash", "keys": [KEY], "sudo": SUDO_RULE.format(name="rackflow"), "shadow": "*"}
    reading = Reading("web-01", raw(users={"ops": user, "rackflow": manager, "gone": None}))
    facts = reading.system({secret.ref: secret}, management_key=f"{KEY} comment")
    assert [u.name for u in facts.users] == ["ops"]
    assert facts.users[0].password_is == {"secret:ops@1": True}
    assert facts.management_key is True
    assert hashed not in facts.model_dump_json()
    assert hashed not in repr(reading)
    assert facts.fstab == ("UUID=1 /data ext4 defaults 0 2",)
    assert facts.ssh_host_key == "ssh-ed25519 AAAAhost"
    assert facts.os_release == "Debian GNU/Linux 12 (bookworm)"


def test_a_kernel_with_another_name_than_the_file_shows():
    live = {
        "hostname": "old",
        "kernel": "6.1",
        "boot_id": "b",
        "addresses": None,
        "bonds": {},
        "mounts": None,
    }
    assert Reading("h", raw(live=live)).system({}).hostname == "web-01 (running: old)"
    assert Reading("h", raw(live=live | {"hostname": "web-01"})).system({}).hostname == "web-01"


def test_a_broken_install_record_is_none():
    assert Reading("h", raw(install="{")).system({}).record is None


@pytest.mark.parametrize(
    ("output", "family"),
    [
        (Output(PYTHON, 1, "", "sudo: a password is required"), Refused),
        (Output(PYTHON, 0, "Last login: today\n", ""), Unparsable),
        (Output(PYTHON, 0, "[]", ""), Unparsable),
    ],
)
def test_a_reader_that_cannot_run_is_an_error_with_the_host(output, family):
    with pytest.raises(family) as caught:
        read_system(FakeShell({PYTHON: output}, host="web-01"), Question())
    assert caught.value.host == "web-01"


def test_the_reader_runs_as_it_is_sent():
    """The text goes through the loader into another interpreter, as on a machine."""
    done = subprocess.run(
        [sys.executable, *PYTHON[1:]],
        input=Question(root="/", files=("/etc/hostname", "/nowhere")).stdin(),
        capture_output=True,
        check=True,
        timeout=30,
    )
    answer = json.loads(done.stdout)
    assert answer["files"]["/nowhere"] is None
    assert answer["live"]["kernel"] == os.uname().release


def test_the_agent_writes_no_file_whose_owner_is_not_known(tmp_path):
    target = tmp_path / "x"
    body = json.loads(
        Document("x", files=(GuestFile(str(target), b"1", owner="nobody-here"),)).command("/").stdin
    )
    done = subprocess.run(
        [sys.executable, *PYTHON[1:]],
        input=json.dumps(body).encode(),
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert done.returncode != 0
    assert b"no nobody-here in /etc/passwd" in done.stderr
    assert not target.exists()


def test_a_file_is_replaced_whole_with_its_mode_also_over_a_leftover_and_a_link(tmp_path):
    path = tmp_path / "motd"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("stays")
    path.symlink_to(elsewhere)
    (tmp_path / "motd.rackflow-new").symlink_to(elsewhere)
    agent.place(str(path), b"new", 0o640, os.getuid(), os.getgid())
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.lstat().st_mode) == 0o640
    assert not path.is_symlink()
    assert elsewhere.read_text() == "stays"
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith("-new")] == []


def test_links_are_made_kept_and_turned_and_removing_spares_folders(tmp_path):
    wish = {"path": str(tmp_path / "a" / "unit"), "target": "/lib/unit"}
    agent.link(wish)
    agent.link(wish)
    assert Path(wish["path"]).readlink() == Path("/lib/unit")
    agent.link(wish | {"target": "/lib/other"})
    assert Path(wish["path"]).readlink() == Path("/lib/other")
    agent.remove(wish["path"])
    agent.remove(str(tmp_path / "a"))
    agent.remove(str(tmp_path / "nothing"))
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_the_document_of_a_link_says_path_and_target():
    body = json.loads(Document("x", links=(Link("/a", "/b"),)).command("/mnt").stdin)
    assert body["links"] == [{"path": "/a", "target": "/b"}]


@pytest.mark.parametrize(("status", "ends"), [(204, 0), (410, 1)])
def test_announcing_ends_at_the_first_answer_and_forgets_the_token(tmp_path, status, ends):
    with socket.create_server(("127.0.0.1", 0)) as server:
        heard: list[bytes] = []

        def answer() -> None:
            link, _ = server.accept()
            with link:
                heard.append(link.recv(65536))
                link.sendall(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode())

        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        settings = {"host": "web-01", "name": "127.0.0.1", "port": port, "path": "/v1/phone-home"}
        (tmp_path / "phone-home.json").write_text(json.dumps(settings))
        (tmp_path / "phone-home.token").write_text("t0ken\n")
        code = announce.deliver(settings, b"POST / HTTP/1.1\r\n\r\n", str(tmp_path / "phone-home.token"))
        thread.join(timeout=10)
    assert code == ends
    assert heard[0].startswith(b"POST / HTTP/1.1")
    assert not (tmp_path / "phone-home.token").exists()


def test_the_announcement_carries_token_key_and_boot_id(tmp_path):
    settings = {"host": "web-01", "name": "edge", "port": 8080, "path": "/v1/phone-home"}
    key = tmp_path / "key.pub"
    key.write_text("ssh-ed25519 AAAA root@x\n")
    head, _, body = announce.request(settings, "t0ken", str(key)).partition(b"\r\n\r\n")
    assert head.startswith(
        b"POST /v1/phone-home HTTP/1.1\r\nHost: edge:8080\r\nAuthorization: Bearer t0ken\r\n"
    )
    told = json.loads(body)
    assert (told["host"], told["ssh_host_key"]) == ("web-01", "ssh-ed25519 AAAA")
    assert f"Content-Length: {len(body)}".encode() in head
