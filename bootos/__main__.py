"""Command line: python -m bootos build --data DIR [--level N] [--vendor DIR] [--refresh] [--json]."""

import argparse
import json
import sys
from pathlib import Path

from bootos.build import DEFAULT_LEVEL, RELEASE_LEVEL, build
from bootos.steps import BuildError


def main(argv: list[str] | None = None) -> int:
    """Exit 0: built and current; 1: could not be built, with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m bootos", description="The boot OS of rackflow.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    make = verbs.add_parser("build", help="build kernel, base and overlay, and make them current")
    make.add_argument(
        "--data", type=Path, required=True, help="rackflow's data folder; output below DATA/boot"
    )
    make.add_argument(
        "--level",
        type=int,
        default=DEFAULT_LEVEL,
        help=f"zstd level of the squashfs; {RELEASE_LEVEL} for a release",
    )
    make.add_argument("--vendor", type=Path, help="folder of RAID CLIs (default: bootos/vendor)")
    make.add_argument("--refresh", action="store_true", help="fetch the packages again")
    make.add_argument("--json", action="store_true", help="print current.json on stdout")
    options = parser.parse_args(argv)
    try:
        current = build(options.data, level=options.level, vendor=options.vendor, refresh=options.refresh)
    except BuildError as error:
        sys.stderr.write(f"bootos: {error}\n")
        return 1
    if options.json:
        sys.stdout.write(json.dumps(current, sort_keys=True, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
