"""Operations over a deployed system: facts + step -> one document; nothing where nothing differs."""

import json

import pytest

from metal.drivers.guest import (
    accounts,
    bootloader,
    fstab,
    host_key,
    hostname,
    install_record,
    managed_files,
    network,
    phone_home,
)
from metal.drivers.guest.accounts import UserWish
from metal.drivers.guest.document import Document, GuestFile, commands
from metal.drivers.guest.facts import sha256_of
from metal.drivers.guest.fstab import Mount
from metal.drivers.guest.managed_files import FileWish
from metal.errors import Refused
from specs.facts import FileFact, InstallRecord, SystemFacts, UserFact
from specs.records import SecretValue

SECRET = SecretValue(name="ops", version=2, value="hunter2")
SECRETS = {SECRET.ref: SECRET}
KEY = "ssh-ed25519 AAAAC3 me"


def texts(document: Document) -> dict[str, str]:
    return {file.path: file.data.decode() for file in document.files}


def test_hostname_is_written_with_its_line_in_hosts_and_the_rest_of_hosts_stays():
    assert hostname.differences(SystemFacts(hostname="web-01"), "web-01") == ()
    assert hostname.differences(SystemFacts(hostname="debian"), "web-01")
    before = "127.0.0.1 localhost\n127.0.1.1 debian\n::1 ip6-localhost\n"
    written = texts(hostname.document("web-01.example.net", before))
    assert written["/etc/hostname"] == "web-01.example.net\n"
    assert written["/etc/hosts"] == (
        "127.0.0.1 localhost\n127.0.1.1 web-01.example.net web-01\n::1 ip6-localhost\n"
    )


def test_fstab_keeps_foreign_lines_and_replaces_its_own_block():
    mount = Mount("0b1f8c1e-1111-4222-8333-444444444444", "/data", "ext4", ("noatime",))
    options = "noatime,nofail,x-systemd.device-timeout=5min"
    line = f"UUID=0b1f8c1e-1111-4222-8333-444444444444 /data ext4 {options} 0 2"
    once = fstab.fstab_with("UUID=D3B1-A212 /boot/efi vfat noauto 0 0\n", (mount,))
    assert once.splitlines() == ["UUID=D3B1-A212 /boot/efi vfat noauto 0 0", fstab.BEGIN, line, fstab.END]
    assert fstab.fstab_with(once, (mount,)) == once
    assert fstab.differences(SystemFacts(fstab=(line,)), (mount,)) == ()
    assert fstab.differences(SystemFacts(), (mount,))


def test_fstab_takes_the_place_of_an_images_line_for_the_same_mount():
    mount = Mount("0b1f8c1e-1111-4222-8333-444444444444", "/data", "xfs")
    assert "old" not in fstab.fstab_with("UUID=old /data ext4 defaults 0 2\n", (mount,))


@pytest.mark.parametrize(
    ("mount", "line"),
    [
        (
            Mount("aabbccdd-1111-4222-8333-444444444444", "/efi", "vfat"),
            "UUID=AABB-CCDD /efi vfat defaults,nofail,x-systemd.device-timeout=5min 0 2",
        ),
        (Mount("0b1f", "none", "swap", ("sw",)), "UUID=0b1f none swap sw 0 0"),
        (
            Mount("0b1f", "/d", "xfs", ("nofail", "ro")),
            "UUID=0b1f /d xfs nofail,ro,x-systemd.device-timeout=5min 0 0",
        ),
    ],
)
def test_fstab_lines(mount, line):
    assert mount.line == line


def test_network_writes_what_differs_removes_what_is_stale_and_reloads_only_a_running_system():
    files = {
        "/etc/systemd/network/10-rackflow-bond0.netdev": "[NetDev]\nName=bond0\n",
        "/etc/x-rackflow": "same",
    }
    facts = SystemFacts(
        network_files={
            "/etc/x-rackflow": sha256_of(b"same"),
            "/etc/systemd/network/10-rackflow-old.network": "00",
        }
    )
    document = network.document(facts, files)
    assert list(texts(document)) == ["/etc/systemd/network/10-rackflow-bond0.netdev"]
    assert document.remove == ("/etc/systemd/network/10-rackflow-old.network",)
    (mounted,) = commands(document, "/mnt/rackflow")
    (running,) = commands(document, "/")
    assert json.loads(mounted.stdin)["run"] == []
    assert json.loads(running.stdin)["run"] == [["networkctl", "reload"]]
    converged = SystemFacts(network_files={path: sha256_of(text.encode()) for path, text in files.items()})
    assert network.differences(converged, files) == ()


def test_a_user_that_is_as_wished_is_left_alone_and_another_gets_only_what_differs():
    wishes = (UserWish("ops", (KEY,), sudo=True, password=SECRET.ref), UserWish("dev", (KEY,)))
    ops = UserFact(  # noqa: S604 - a login shell
        name="ops", ssh_keys=(KEY,), sudo=True, shell="/bin/bash", password_is={SECRET.ref: True}
    )
    dev = UserFact(  # noqa: S604
        name="dev", ssh_keys=(), sudo=True, shell="/bin/bash"
    )
    document = accounts.document(SystemFacts(users=(ops, dev)), wishes, SECRETS, lambda: "salt")
    assert [account.name for account in document.accounts] == ["dev"]
    assert document.accounts[0].password_hash is None
    assert document.remove == ("/etc/sudoers.d/rackflow-dev",)
    converged = SystemFacts(users=(ops, dev.model_copy(update={"ssh_keys": (KEY,), "sudo": False})))
    assert accounts.document(converged, wishes, SECRETS, lambda: "salt").empty


def test_a_password_goes_out_as_a_hash_by_stdin_and_is_in_no_argv_or_repr():
    wishes = (UserWish("ops", password=SECRET.ref),)
    document = accounts.document(SystemFacts(), wishes, SECRETS, lambda: "abcdefgh")
    (command,) = commands(document, "/")
    hashed = json.loads(command.stdin)["accounts"][0]["password_hash"]
    assert hashed.startswith("$6$abcdefgh$")
    assert "hunter2" not in command.stdin.decode()
    assert hashed not in repr(command)
    assert hashed not in repr(document)
    assert hashed not in " ".join(command.argv)


def test_a_password_whose_secret_has_another_version_by_now_is_refused():
    with pytest.raises(Refused, match="not the current version") as caught:
        accounts.document(SystemFacts(), (UserWish("ops", password="secret:ops@1"),), SECRETS, lambda: "s")
    assert caught.value.reason == "secret-missing"


def test_files_are_written_for_content_mode_or_owner_and_otherwise_not():
    plain = FileWish("/etc/motd", content=b"hi\n")
    hidden = FileWish("/etc/key", mode="0600", secret=SECRET.ref)
    seen = FileFact(path="/etc/motd", sha256=sha256_of(b"hi\n"), mode="0644", owner="root", group="root")
    key = FileFact(
        path="/etc/key", sha256="x", mode="0600", owner="root", group="root", matches={SECRET.ref: True}
    )
    assert managed_files.document(SystemFacts(files=(seen, key)), (plain, hidden), SECRETS).empty
    other = seen.model_copy(update={"mode": "0666"})
    old = key.model_copy(update={"matches": {SECRET.ref: False}})
    document = managed_files.document(SystemFacts(files=(other, old)), (plain, hidden), SECRETS)
    assert texts(document) == {"/etc/motd": "hi\n", "/etc/key": "hunter2"}
    assert "hunter2" not in repr(document)


def test_a_root_on_an_array_is_named_by_the_array_where_the_image_asks_for_it():
    uuid = "01234567-89ab-cdef-0123-456789abcdef"
    root = "/dev/disk/by-id/md-uuid-01234567:89abcdef:01234567:89abcdef-part1"
    asking = bootloader.document(f"source {bootloader.HOOK}", None, uuid, 1)
    text = f'set rackflow_root="{root}"\n'
    assert texts(asking) == {bootloader.HOOK: text}
    assert bootloader.document(f"source {bootloader.HOOK}", text, uuid, 1).empty
    plain = bootloader.document("linux /vmlinuz root=UUID=8d1f-22 ro\n", None, uuid, 1)
    assert texts(plain) == {bootloader.GRUB_CFG: f"linux /vmlinuz root={root} ro\n"}


def test_a_plain_disk_needs_no_hook_and_loses_a_stale_one():
    assert bootloader.document("menu", None, None, 1).empty
    assert bootloader.document("menu", "set x", None, 1).remove == (bootloader.HOOK,)


def test_the_host_key_is_a_pair_that_ssh_reads_and_the_images_keys_go():
    key = host_key.make_host_key()
    document = host_key.document(key)
    assert texts(document)[f"{host_key.KEY_PATH}.pub"].split()[:2] == key.public.split()
    assert {file.path: file.mode for file in document.files}[host_key.KEY_PATH] == "0600"
    assert "/etc/ssh/ssh_host_rsa_key" in document.remove
    assert "PRIVATE" not in repr(document)
    assert host_key.make_host_key().public != key.public


def test_phone_home_keeps_its_token_to_root_and_refuses_a_url_it_could_not_call():
    document = phone_home.document("web-01", "http://10.77.1.1:8080/v1/phone-home", "t0ken")
    modes = {file.path: file.mode for file in document.files}
    assert modes[phone_home.TOKEN] == "0600"
    settings = json.loads(texts(document)["/etc/rackflow/phone-home.json"])
    assert settings == {"host": "web-01", "name": "10.77.1.1", "port": 8080, "path": "/v1/phone-home"}
    assert "t0ken" not in repr(document)
    with pytest.raises(Refused, match="plain http"):
        phone_home.document("web-01", "https://10.77.1.1/x", "t")


def test_a_system_phones_home_after_its_mounts_are_there_or_given_up():
    document = phone_home.document("web-01", "http://10.77.1.1/x", "t", ("/srv/db", "/var/lib/a-b", "/ü"))
    rows = [line for line in texts(document)[phone_home.UNIT].splitlines() if line.startswith("After=")]
    assert rows == [f"After={' '.join(phone_home.AFTER)} srv-db.mount var-lib-a\\x2db.mount \\xc3\\xbc.mount"]
    assert phone_home.mount_unit("/.cache//x.y/") == "\\x2ecache-x.y.mount"


def test_an_install_record_that_is_there_is_left_alone():
    record = InstallRecord(host="h1", job=3, image_digest="sha256:1", specset="s", layout_hash="l")
    assert install_record.differences(SystemFacts(record=record), record) == ()
    assert install_record.differences(SystemFacts(), record)
    (text,) = texts(install_record.document(record)).values()
    assert InstallRecord.model_validate_json(text) == record


def test_an_empty_document_is_no_command():
    assert commands(Document("nothing"), "/") == ()
    assert len(commands(Document("one", files=(GuestFile("/x", b""),)), "/")) == 1
