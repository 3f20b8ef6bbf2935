"""Load on the edge's API, as a process of its own: `bench.edge.api_load URL CA TOKEN SECONDS HOSTS`.

Two clients at a time: one stores facts that are as large as a body may be, one reads the list of all hosts,
page by page. Prints one line of JSON.
"""

import http.client
import json
import ssl
import sys
import threading
import time
from urllib.parse import urlsplit

LIMIT_BYTES = 1 << 20
SPARE_BYTES = 2000


def facts() -> bytes:
    """An observation of just under 1 MiB: a machine with thousands of disks."""
    disk = {
        "device": "/dev/sdaaa",
        "serial": "S4XXNF0M900000",
        "wwn": "0x5002538e00000000",
        "by_path": "pci-0000:3b:00.0-scsi-0:2:0:0",
        "size_bytes": 480103981056,
        "model": "SAMSUNG MZ7LH480",
        "medium": "ssd",
        "found": ["gpt with 3 partitions"],
    }
    each = len(json.dumps(disk)) + 2
    disks = [disk | {"serial": f"S4XXNF0M{n:06}"} for n in range((LIMIT_BYTES - SPARE_BYTES) // each)]
    seen = {"at": "2026-01-01T00:00:00Z", "seen_from": "boot-os", "hardware": {"disks": disks}}
    return json.dumps({"observation": seen}).encode()


class Client:
    """Keep-alive requests; any answer but success ends the process."""

    def __init__(self, url: str, ca: str, token: str) -> None:
        parts = urlsplit(url)
        context = ssl.create_default_context(cafile=ca)
        self._connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, context=context, timeout=60
        )
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """One request; the body of its answer."""
        self._connection.request(method, path, body=body, headers=self._headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            sys.exit(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data


def store(client: Client, ends_at: float, hosts: int, done: list[int]) -> None:
    """PUT facts to one host after the other."""
    body, number = facts(), 0
    while time.monotonic() < ends_at:
        client.ask("PUT", f"/v1/hosts/bench-{number % hosts:05}/observation", body)
        number += 1
    done.append(number)


def read(client: Client, ends_at: float, done: list[int]) -> None:
    """GET all pages, again and again; a page more is read to its end."""
    pages, after = 0, ""
    while time.monotonic() < ends_at:
        told = json.loads(client.ask("GET", f"/v1/hosts?after={after}"))
        after = told["next"] or ""
        pages += 1
    done.append(pages)


def main(url: str, ca: str, token: str, seconds: str, hosts: str) -> None:
    """Both clients for so many seconds."""
    stored: list[int] = []
    pages: list[int] = []
    ends_at = time.monotonic() + float(seconds)
    threads = [
        threading.Thread(target=store, args=(Client(url, ca, token), ends_at, int(hosts), stored)),
        threading.Thread(target=read, args=(Client(url, ca, token), ends_at, pages)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not (stored and pages):
        sys.exit("the API's load ended early")
    print(json.dumps({"facts": stored[0], "pages": pages[0]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
