"""`python -m lab.bmc RACKFILE MACHINE DIRECTORY ACCELERATOR`: one BMC, in its own network namespace."""

import os
import sys
from pathlib import Path

from lab.bmc.server import main
from lab.definition import load
from lab.machine import Machine

if __name__ == "__main__":
    rack_file, name, directory, accelerator = sys.argv[1:]
    machine = Machine(load(Path(rack_file)).machine(name), Path(directory))
    machine.prepare()
    os.chdir(directory)
    sys.exit(main(machine, accelerator))
