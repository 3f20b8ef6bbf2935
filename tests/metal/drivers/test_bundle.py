"""Bundles through a real shell, and what becomes of answers that are cut."""

import shutil
import subprocess

import pytest

from metal.drivers.bundle import NOT_ANSWERED, Query, read_bundle, script, split
from metal.protocols import Output

SHELLS = [
    pytest.param(
        words, id=words[0], marks=pytest.mark.skipif(not shutil.which(words[0]), reason="not installed")
    )
    for words in (("sh",), ("busybox", "sh"))
]


class LocalShell:
    """Runs here, in the shell given."""

    host = "here"

    def __init__(self, words) -> None:
        self.words = words

    def read(self, argv, *, stdin=None, timeout_s=30, limit_bytes=4 << 20):
        assert argv[0] == "sh"
        done = subprocess.run(
            [*self.words, *argv[1:]], capture_output=True, text=True, check=False, timeout=30
        )
        return Output(argv, done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("words", SHELLS)
def test_each_answer_comes_back_with_its_own_streams_and_status(words):
    asked = (
        Query("plain", ("echo", "a b", "$HOME;'\"\n\\")),
        Query("fails", ("sh", "-c", "printf half; echo why >&2; exit 3")),
        Query("missing", ("no-such-tool-here",)),
        Query("hangs", ("sleep", "30"), timeout_s=1),
        Query("last", ("cat",)),
    )
    said = read_bundle(LocalShell(words), asked)
    assert (said["plain"].stdout, said["plain"].ok) == ("a b $HOME;'\"\n\\\n", True)
    assert (said["fails"].stdout, said["fails"].stderr, said["fails"].status) == ("half", "why\n", 3)
    assert said["missing"].status == 127
    assert not said["hangs"].ok
    assert (said["last"].stdout, said["last"].ok) == ("", True)


def test_an_answer_that_is_cut_off_is_none():
    asked = (Query("one", ("a",)), Query("two", ("b",)))
    cut = Output(("sh",), 255, "\n\x1eb one\nfull\n\x1ee one 0\n\n\x1eb two\nhalf", "connection reset")
    said = split(asked, cut)
    assert said["one"].stdout == "full"
    assert (said["two"].status, said["two"].stdout) == (NOT_ANSWERED, "")
    assert "connection reset" in said["two"].stderr


def test_a_name_that_could_break_the_script_is_refused():
    with pytest.raises(ValueError, match="query's name"):
        script([Query("a; rm", ("true",))])
