"""`python -m metal.cli` is `rackflow`."""

from metal.cli.main import main

main()
