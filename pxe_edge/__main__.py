"""`python -m pxe_edge`: run the edge of a site, with the packet path compiled where it was built."""

import sys

from pxe_edge import compiled

if __name__ == "__main__":
    # Before any of them is imported: a module is loaded once.
    told = compiled.use()
    from pxe_edge.command import main

    sys.exit(main(packet_path=told))
