"""HTTP as a simulated machine speaks it: from its own address, one request per connection."""

import http.client
import json
from urllib.parse import urlsplit

TIMEOUT_S = 10.0
LIMIT_BYTES = 64 << 20


def get(source: str, url: str, *, first: int | None = None, length: int = 0) -> tuple[int, bytes]:
    """GET a document, or `length` bytes from `first`. Raises OSError when nobody answers."""
    headers = {} if first is None else {"Range": f"bytes={first}-{first + length - 1}"}
    return _ask(source, "GET", url, headers, None)


def post(source: str, url: str, token: str, body: dict[str, object]) -> int:
    """POST JSON under a bearer token; the status. Raises OSError when nobody answers."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return _ask(source, "POST", url, headers, json.dumps(body).encode())[0]


def _ask(
    source: str, method: str, url: str, headers: dict[str, str], body: bytes | None
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        parts.hostname or "", parts.port or 80, timeout=TIMEOUT_S, source_address=(source, 0)
    )
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body=body, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read(LIMIT_BYTES)
    except http.client.HTTPException as error:
        raise OSError(f"{url}: {error!r}") from error
    finally:
        connection.close()
