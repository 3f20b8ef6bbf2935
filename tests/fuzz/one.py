"""One fuzz target under libFuzzer: `python -m tests.fuzz.one TARGET [libFuzzer options] CORPUS SEEDS`.

Started by `tests.fuzz.run`. Atheris instruments the packages of the edge while they are imported.
"""

import sys

import atheris

with atheris.instrument_imports(include=["pxe_edge", "specs"]):
    from tests.fuzz.targets import TARGETS


def main():
    """Run until libFuzzer has enough, or found something."""
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
