"""fstab and crypttab: our block, and what is left of the image's own lines."""

from metal.drivers.guest import crypttab
from metal.drivers.guest.crypttab import Unlock
from metal.drivers.guest.fstab import PATIENCE, Mount, fstab_with

UUID = "11111111-2222-4333-8444-555555555555"


def test_a_line_of_crypttab_gives_way_to_ours_and_a_second_time_nothing_changes() -> None:
    unlock = Unlock.of(
        {"unlocked": "luks-a", "key_path": "/etc/rackflow/keys/a.key", "secret": "secret:k@1"}, f"UUID={UUID}"
    )
    text = "# of the image\nluks-a /dev/sdb1 none\nother /dev/sdc1 none luks\n"
    assert crypttab.differences(text, (unlock,)) != ()
    (file,) = crypttab.document(text, (unlock,)).files
    written = file.data.decode()
    assert written.splitlines() == [
        "# of the image",
        "other /dev/sdc1 none luks",
        crypttab.BEGIN,
        f"luks-a UUID={UUID} /etc/rackflow/keys/a.key luks,nofail,{PATIENCE}",
        crypttab.END,
    ]
    assert crypttab.differences(written, (unlock,)) == ()
    assert crypttab.document(written, (unlock,)).files == (file,)
    (key,) = unlock.keys
    assert (key.path, key.mode, key.owner, key.secret) == (
        "/etc/rackflow/keys/a.key",
        "0400",
        "root",
        "secret:k@1",
    )


def test_what_the_tpm_opens_has_no_key_and_takes_the_place_of_a_line_with_one() -> None:
    told = {"unlocked": "luks-a", "secret": "secret:k@1", "tpm2": True}
    unlock = Unlock.of(told, f"UUID={UUID}")
    text = f"luks-a UUID={UUID} /etc/rackflow/keys/a.key luks,nofail\n"
    (file,) = crypttab.document(text, (unlock,)).files
    line = f"luks-a UUID={UUID} - luks,nofail,{PATIENCE},tpm2-device=auto,headless=yes"
    assert file.data.decode().splitlines() == [crypttab.BEGIN, line, crypttab.END]
    assert unlock.keys == ()


def test_subvolumes_and_volumes_are_lines_of_their_own() -> None:
    btrfs = {"filesystem": "btrfs", "mount": "/home", "options": ["subvol=/@home", "noatime"]}
    kept = {"filesystem": "xfs", "mount": "/data", "options": ["defaults"], "device": "/dev/sys/data"}
    swap = {"filesystem": "swap", "mount": "none", "options": ["sw"], "device": "/dev/sys/swap"}
    mounts = tuple(Mount.of(one, UUID) for one in (btrfs, kept, swap))
    assert fstab_with("LABEL=root / ext4 defaults 0 1\n", mounts).splitlines()[2:-1] == [
        f"UUID={UUID} /home btrfs subvol=/@home,noatime,nofail,{PATIENCE} 0 0",
        f"/dev/sys/data /data xfs defaults,nofail,{PATIENCE} 0 0",
        "/dev/sys/swap none swap sw 0 0",
    ]


def test_how_long_a_device_is_waited_for_may_stand_in_the_spec() -> None:
    own = {"filesystem": "xfs", "mount": "/data", "options": ["x-systemd.device-timeout=20s"]}
    assert Mount.of(own, UUID).line == f"UUID={UUID} /data xfs x-systemd.device-timeout=20s,nofail 0 0"
