"""One HTTP exchange with the edge: TLS, token, retries of what never arrived, problems as errors.

The edge answers errors as problem+json with code, detail, hint and host. They become our error
families here, once: a caller never sees a status code.
"""

import os
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx

from metal.errors import InvalidSpecs, LeaseLost, RackflowError, Refused, Unreachable
from specs.records import Finding

RETRY_DELAYS_S: Final = (0.2, 0.5, 1.0, 2.0, 4.0)
"""An edge restart takes about two seconds; waiting longer is the run's decision, not the client's."""

LEASE_CODES: Final = frozenset({"epoch", "lease"})


class NotKnown(Refused):
    """The edge knows no such thing."""


class Conflict(Refused):
    """Another holder, version or job is in the way; the message names it."""


@dataclass(frozen=True, slots=True)
class EdgeAddress:
    """Where the edge is and how one proves who one is; the token is read at each use, never kept in text."""

    url: str
    ca_file: Path | None
    token_file: Path

    @classmethod
    def from_environment(cls) -> Self:
        """Read RACKFLOW_EDGE_URL, RACKFLOW_CA_FILE, RACKFLOW_TOKEN_FILE, else the local data folder's."""
        data = data_dir()
        ca_file = Path(os.environ.get("RACKFLOW_CA_FILE", data / "edge" / "tls" / "ca.pem"))
        return cls(
            url=os.environ.get("RACKFLOW_EDGE_URL", "https://127.0.0.1:8443"),
            ca_file=ca_file,
            token_file=Path(os.environ.get("RACKFLOW_TOKEN_FILE", data / "edge" / "tokens" / "admin")),
        )


def data_dir() -> Path:
    """The data folder: RACKFLOW_DATA, else /var/lib/rackflow as root, ~/.local/share/rackflow otherwise."""
    if given := os.environ.get("RACKFLOW_DATA"):
        return Path(given).absolute()
    return Path("/var/lib/rackflow") if os.geteuid() == 0 else Path.home() / ".local" / "share" / "rackflow"


class EdgeWire:
    """Base of the client: send one request, get JSON or one of our errors."""

    def __init__(
        self,
        address: EdgeAddress | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address = address or EdgeAddress.from_environment()
        self._sleep = sleep
        verify: ssl.SSLContext | bool = True
        if transport is None and self.address.ca_file is not None:
            if not self.address.ca_file.exists():
                raise Unreachable(
                    f"no CA file {self.address.ca_file}: the edge has not been started on this data folder",
                    reason="unreachable",
                    hint="rackflow up, or set RACKFLOW_DATA or RACKFLOW_CA_FILE",
                )
            verify = ssl.create_default_context(cafile=str(self.address.ca_file))
        self._http = httpx.Client(
            base_url=self.address.url, verify=verify, transport=transport, timeout=30.0, trust_env=False
        )

    def __enter__(self) -> Self:
        """Use as a context manager to close the connection."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _headers(self) -> dict[str, str]:
        try:
            token = self.address.token_file.read_text().strip()
        except OSError as error:
            raise Unreachable(
                f"cannot read the token file {self.address.token_file}: {error.strerror}",
                reason="unreachable",
                hint="set RACKFLOW_TOKEN_FILE, or run on the edge's machine as its user",
            ) from error
        return {"Authorization": f"Bearer {token}"}

    def send(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        """Send one request; retry only when the edge was not reached or said 503."""
        headers = self._headers() | kwargs.pop("headers", {})
        # A stream that was begun is used up: a second try would send nothing under the first one's length.
        delays_s = () if isinstance(kwargs.get("content"), Iterator) else RETRY_DELAYS_S
        for delay_s in (*delays_s, None):
            try:
                response = self._http.request(method, path, headers=headers, **kwargs)
            except httpx.TransportError as error:
                if delay_s is None or not isinstance(error, httpx.ConnectError | httpx.RemoteProtocolError):
                    raise Unreachable(
                        f"the edge at {self.address.url} does not answer: {error}",
                        reason="unreachable",
                        hint="is it running? rackflow up, or journalctl -u rackflow-edge",
                    ) from error
            else:
                if response.status_code != httpx.codes.SERVICE_UNAVAILABLE or delay_s is None:
                    return self._checked(response)
            self._sleep(delay_s)
        raise AssertionError("unreachable")

    def json(self, method: str, path: str, **kwargs: Any) -> Any:
        """Send one request and return its JSON body, None when it has none."""
        response = self.send(method, path, **kwargs)
        return response.json() if response.content else None

    def items(self, path: str, **params: Any) -> list[Any]:
        """All items of a paged list."""
        found: list[Any] = []
        query = {key: value for key, value in params.items() if value is not None}
        while True:
            page = self.json("GET", path, params=query)
            found += page["items"]
            if not page.get("next"):
                return found
            query["after"] = page["next"]

    @staticmethod
    def _checked(response: httpx.Response) -> httpx.Response:
        if response.is_success:
            return response
        try:
            problem = response.json()
        except ValueError:
            problem = {}
        if not isinstance(problem, dict):
            problem = {}
        raise problem_error(response.status_code, problem, response.request.url.path)


def problem_error(status: int, problem: dict[str, Any], path: str) -> RackflowError:
    """The error family of a problem+json answer."""
    detail = str(problem.get("detail") or problem.get("title") or f"the edge answered {status} to {path}")
    about: dict[str, Any] = {
        "host": problem.get("host"),
        "reason": str(problem.get("reason") or problem.get("code") or "refused"),
        "hint": problem.get("hint"),
    }
    if status == httpx.codes.UNPROCESSABLE_ENTITY and "findings" in problem:
        invalid = InvalidSpecs(detail, **about)
        invalid.findings = tuple(Finding.model_validate(f) for f in problem["findings"])
        return invalid
    if status == httpx.codes.CONFLICT and problem.get("code") in LEASE_CODES:
        return LeaseLost(detail, **(about | {"reason": "lease-lost"}))
    if status == httpx.codes.CONFLICT:
        return Conflict(detail, **about)
    if status == httpx.codes.NOT_FOUND:
        return NotKnown(detail, **about)
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return Unreachable(detail, **(about | {"reason": "unreachable"}))
    return Refused(detail, **about)
