"""An edge with the fault that the avalanche looks for: its ACKs leave before the leases are stored.

`late_edge.py --data DIR --specs DIR`, as `python -m pxe_edge`.
"""

import sys
import threading

from pxe_edge.command import main
from pxe_edge.registry.lease_store import LeaseStore

LATE_S = 0.3
stored = LeaseStore.commit


def commit_later(store, rows):
    """Say that the rows are stored, each as it should be, and store them a little later."""
    timer = threading.Timer(LATE_S, stored, (store, tuple(rows)))
    timer.daemon = True
    timer.start()
    return frozenset()


if __name__ == "__main__":
    LeaseStore.commit = commit_later
    sys.exit(main())
