"""``python -m lab.image build --data DIR [--name NAME] [--json] [--refresh]``: make an image, if need be."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from lab.image.build import build
from lab.image.recipe import IMAGES
from lab.image.steps import BuildError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; progress and errors go to stderr, the result to stdout."""
    parser = argparse.ArgumentParser(prog="python -m lab.image", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("build", help="build an image unless this recipe's image is there")
    make.add_argument(
        "--data", type=Path, required=True, help="the data folder; images-src/ and cache/ lie in it"
    )
    make.add_argument("--name", choices=list(IMAGES), default=next(iter(IMAGES)), help="which one")
    make.add_argument("--json", action="store_true", help="print the image's facts as JSON")
    make.add_argument("--refresh", action="store_true", help="fetch packages anew, for their newest versions")
    options = parser.parse_args(arguments)
    try:
        facts = build(IMAGES[options.name], options.data, refresh=options.refresh)
    except BuildError as error:
        print(f"image build failed: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(facts), indent=1) if options.json else f"{facts.path} {facts.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
