"""KVM is used only where guests were seen to boot under it."""

import pytest

from lab.accel import DIED, WORD, accelerator, guest_says, probes


def shell(script):
    return ["sh", "-c", script]


@pytest.mark.parametrize(
    ("script", "boots"),
    [
        ("echo SeaBIOS; echo rackflow-probe; sleep 60", True),
        ("printf rackflow-; sleep 0.1; printf probe; sleep 60", True),
        ("echo SeaBIOS", False),
        (f"echo SeaBIOS; echo '{DIED.decode()}' >&2; sleep 60", False),
    ],
)
def test_a_guest_must_print_the_word_before_its_end_and_before_kvms(script, boots):
    assert guest_says(shell(script), WORD) is boots


def test_a_guest_that_stands_still_is_given_up():
    assert not guest_says(shell("echo SeaBIOS; sleep 60"), WORD, timeout_s=0.2)


def test_a_guest_of_each_firmware_prints_the_word_where_guests_run(tmp_path):
    """Under TCG, where every guest runs: what fails under KVM then says something of KVM."""
    for argv in probes(tmp_path, "tcg"):
        assert guest_says(argv, WORD, timeout_s=120)


def test_without_the_device_it_is_tcg_and_the_answer_is_kept(tmp_path):
    cache = tmp_path / "accelerator.json"
    assert accelerator(cache, tmp_path / "no-kvm") == "tcg"

    cache.write_text(cache.read_text().replace("tcg", "kvm"))

    assert accelerator(cache, tmp_path / "no-kvm") == "kvm"
