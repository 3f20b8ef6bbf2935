"""`python -m metal.console`: the console broker of this site."""

import logging
import signal
import time

from metal.console.broker import Broker
from metal.edge_client import EdgeClient
from metal.edge_client.wire import data_dir
from metal.errors import Unreachable


def wait_for_edge() -> EdgeClient:
    """The client, once the edge has made its CA and token."""
    for attempt in range(60):
        try:
            return EdgeClient()
        except Unreachable:
            if attempt == 59:
                raise
            time.sleep(1)
    raise AssertionError("unreachable")


def main() -> None:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with wait_for_edge() as edge:
        broker = Broker(edge, data_dir() / "logs" / "console")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: broker.stop())
        broker.run()


if __name__ == "__main__":
    main()
