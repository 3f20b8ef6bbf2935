"""The whole client: a run's calls and an operator's."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from metal.edge_client.runs import RunCalls
from specs.records import Consent, HostRecord, ImageRecord, JobRecord, SpecSetRecord, TimelineEntry

__all__ = ["EdgeClient", "file_blocks"]


class EdgeClient(RunCalls):
    """The edge's REST API, typed. Errors are metal.errors families; nothing here decides anything."""

    def health(self) -> dict[str, Any]:
        """Whether the edge serves, for which site and set."""
        answer: dict[str, Any] = self.json("GET", "/v1/healthz")
        return answer

    def add_host(
        self,
        name: str | None = None,
        *,
        mac: str | None = None,
        uuid: str | None = None,
        serial: str | None = None,
        bmc: dict[str, str] | None = None,
        address: str | None = None,
    ) -> HostRecord:
        """Register a host before it is seen; `address` is what it is to get by DHCP."""
        body = {"name": name, "mac": mac, "uuid": uuid, "serial": serial, "bmc": bmc, "address": address}
        return HostRecord.model_validate(self.json("POST", "/v1/hosts", json=body))

    def approve_host(self, what: str, host: str | None = None) -> HostRecord:
        """Let a held sighting or a foreign system's host boot the boot OS; `host` says who a MAC is."""
        body = {"what": what, "host": host}
        return HostRecord.model_validate(self.json("POST", "/v1/hosts/approve", json=body))

    def remove_host(self, name: str) -> None:
        """Forget a host."""
        self.send("DELETE", f"/v1/hosts/{name}")

    def cancel_job(self, name: str, number: int) -> JobRecord:
        """Ask a job to stop at the next safe point."""
        return JobRecord.model_validate(self.json("POST", f"/v1/hosts/{name}/jobs/{number}/cancel"))

    def release_host(self, name: str, *, by: str) -> HostRecord:
        """Take the host from the run that holds it and end its job: an operator knows it to be dead."""
        return HostRecord.model_validate(self.json("POST", f"/v1/hosts/{name}/release", json={"by": by}))

    def jobs(self, name: str) -> list[JobRecord]:
        """The newest jobs of a host, newest first."""
        return [JobRecord.model_validate(j) for j in self.items(f"/v1/hosts/{name}/jobs")]

    def consent(self, host: str, *, plan: str | None, by: str) -> Consent:
        """Give consent to a waiting plan; the edge posts the job's next run."""
        body = {"host": host, "plan": plan, "by": by}
        return Consent.model_validate(self.json("POST", "/v1/consents", json=body))

    def publish(
        self,
        files: dict[str, str | dict[str, str]],
        *,
        commit: str | None,
        author: str | None,
        dirty: bool,
        expected_current: str | None = None,
        force: bool = False,
    ) -> SpecSetRecord:
        """Store a spec set and make it current; raises InvalidSpecs with findings."""
        body = {
            "commit": commit,
            "author": author,
            "dirty": dirty,
            "files": files,
            "expected_current": expected_current,
            "force": force,
        }
        stored = SpecSetRecord.model_validate(self.json("POST", "/v1/specsets", json=body))
        self.json("PUT", "/v1/specsets/current", json={"id": stored.id, "expected_current": expected_current})
        return stored

    def specset(self, which: str = "current") -> SpecSetRecord:
        """A spec set with its files."""
        return SpecSetRecord.model_validate(self.json("GET", f"/v1/specsets/{which}"))

    def timeline(self, name: str) -> list[TimelineEntry]:
        """A host's history, oldest first."""
        return [TimelineEntry.model_validate(e) for e in self.items(f"/v1/hosts/{name}/timeline")]

    def why(self, what: str) -> dict[str, Any]:
        """Why a host, MAC or address is where it is."""
        answer: dict[str, Any] = self.json("GET", f"/v1/why/{what}")
        return answer

    def networks(self) -> list[dict[str, Any]]:
        """The site's networks: usage, and the edge's address on each."""
        return self.items("/v1/networks")

    def boot_files(self) -> list[dict[str, Any]]:
        """Loaders, kernel and initrds as they stand in the boot folder, with size and digest."""
        return self.items("/v1/boot-files")

    def leases(self, network: str | None = None) -> list[dict[str, Any]]:
        """DHCP leases, of one network or of all."""
        return self.items("/v1/leases", network=network)

    def snippet(
        self, kind: str, *, network: str | None = None, edge: str | None = None, vendor: str | None = None
    ) -> dict[str, Any]:
        """Configuration for a foreign DHCP server or a relay: `text`, and `notes` for who uses it."""
        given = {"network": network, "edge": edge, "vendor": vendor}
        params = {name: value for name, value in given.items() if value is not None}
        answer: dict[str, Any] = self.json("GET", f"/v1/site/snippets/{kind}", params=params)
        return answer

    def sightings(self) -> list[dict[str, Any]]:
        """Unknown machines that were seen."""
        return self.items("/v1/sightings")

    def images(self) -> list[ImageRecord]:
        """Images in the store."""
        return [ImageRecord.model_validate(i) for i in self.items("/v1/images")]

    def image_state(self, name: str) -> dict[str, Any]:
        """How far an upload or conversion is."""
        answer: dict[str, Any] = self.json("GET", f"/v1/images/{name}")
        return answer

    def put_image(
        self,
        name: str,
        content: Iterable[bytes],
        *,
        length: int,
        format_: str,
        digest: str | None,
    ) -> dict[str, Any]:
        """Stream an image into the store; the edge checks the digest before any parser sees a byte."""
        self.json("POST", "/v1/images", json={"name": name})
        params = {"format": format_} | ({"digest": digest} if digest else {})
        answer: dict[str, Any] = self.json(
            "PUT",
            f"/v1/images/{name}/blob",
            params=params,
            content=content,
            headers={"Content-Length": str(length)},
            timeout=600.0,
        )
        return answer

    def put_secret(self, name: str, value: str) -> int:
        """Set a named secret; returns its version."""
        return int(self.json("PUT", f"/v1/secrets/{name}", json={"value": value})["version"])

    def secrets(self) -> list[dict[str, Any]]:
        """Names and versions, never values."""
        return self.items("/v1/secrets")

    def release_console(self, name: str, *, minutes: int = 10) -> dict[str, Any]:
        """Free the BMC's one console session for another client."""
        answer: dict[str, Any] = self.json(
            "POST", f"/v1/hosts/{name}/console/release", json={"minutes": minutes}
        )
        return answer


def file_blocks(path: Path, block_bytes: int = 1 << 20) -> Iterator[bytes]:
    """A file in blocks, for streaming."""
    with path.open("rb") as source:
        while block := source.read(block_bytes):
            yield block
