"""Scripts made for the machine that asks: iPXE's, and GRUB's configuration as its peer.

A GET of a machine with a boot due begins that boot; a HEAD begins none, so its script names no seed.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from pxe_edge.policy import grub, script
from pxe_edge.policy.boot import BootAnswer, LocalDisk, Script, Silence, decide
from pxe_edge.policy.requests import BootRequest
from pxe_edge.policy.views import BootOsView, BootPlan, SiteView
from pxe_edge.servers.hosts import find_host
from pxe_edge.servers.http import Request
from pxe_edge.servers.http_answer import Response, problem
from pxe_edge.servers.ports import Boot, Problem, View
from specs.identity import normalise_mac, normalise_uuid

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Language:
    """How one loader is spoken to; `base` is where files are."""

    client: Literal["ipxe", "grub"]
    base: Callable[[str], str]
    chain: Callable[[str], str]
    """For a request without a MAC: come back with it."""
    boot: Callable[[str, str, BootPlan, BootOsView], str]
    message: Callable[[BootAnswer, SiteView], str]


IPXE: Final = Language(
    "ipxe",
    lambda local: f"http://{local}",
    script.chain_script,
    script.boot_script,
    script.message_script,
)
GRUB: Final = Language(
    "grub", lambda local: f"http,{local}", grub.entrance, grub.boot_config, grub.message_config
)
GRUB_BY_TFTP: Final = replace(GRUB, base=lambda local: f"tftp,{local}")


class Scripts:
    """Asks the boot answer, begins the boot, writes the script."""

    def __init__(self, view: View, boot: Boot) -> None:
        self._view = view
        self._boot = boot
        self._beginning: dict[tuple[object, ...], asyncio.Future[BootPlan | None]] = {}

    async def make(
        self, request: Request, mac: str | None, language: Language, *, cpu: str | None = None
    ) -> Response:
        """The script for a MAC as it stands in the URL; without one, the script that asks for it.

        `cpu` is what GRUB calls its processor; iPXE's URL bears the architecture of its DHCP request.
        """
        query = request.head.query
        if mac is None:
            return text_response(language.chain(language.base(request.local)))
        try:
            mac = normalise_mac(mac)
            uuid = normalise_uuid(query["uuid"]) if query.get("uuid") else None
            arch = int(query["arch"]) if query.get("arch") else grub.ARCHITECTURES.get(cpu or "")
        except ValueError as error:
            return problem(400, Problem("bad-identity", str(error), "Ask for /boot.ipxe without arguments."))
        wanted = BootRequest(mac, language.client, arch, uuid, address=request.peer, via="http")
        begins = request.head.method == "GET"
        text, outcome = await self._text(request, wanted, language, begins=begins)
        if begins:
            self._view.sighting(wanted, outcome)
            log.info("boot=script mac=%s client=%s %s", mac, request.peer, outcome)
        return text_response(text)

    async def _text(
        self, request: Request, wanted: BootRequest, language: Language, *, begins: bool
    ) -> tuple[str, str]:
        site = self._view.site()
        host = find_host(self._view, wanted)
        answer = host if isinstance(host, Silence) else decide(wanted, host, site)
        if not isinstance(answer, Script):
            reason = answer.reason if isinstance(answer, LocalDisk | Silence) else "no-script"
            return language.message(answer, site), f"answer=none reason={reason}"
        if site.bootos is None:
            return language.message(answer, site), "answer=none reason=no-boot-os"
        if not site.bootos.runs_on(wanted.arch):
            foreign = Silence("no-boot-os-for-it")
            return language.message(foreign, site), f"answer=none reason={foreign.reason}"
        if not begins:
            return language.message(Silence("head-request"), site), "answer=none reason=head-request"
        plan = await self._begin(request, wanted, language)
        if plan is None:
            return language.message(Silence("no-work-due"), site), "answer=none reason=boot-refused"
        text = language.boot(language.base(request.local), wanted.mac, plan, site.bootos)
        return text, f"answer=script boot_no={plan.boot_no}"

    async def _begin(self, request: Request, wanted: BootRequest, language: Language) -> BootPlan | None:
        # A loader that waited too long asks again. Were that a boot of its own, and the first one begun after
        # it, the boot that the machine is told of would be over before it started.
        asked = (wanted.mac, wanted.uuid, wanted.arch, request.peer)
        key = (language, *asked)  # one loop per language
        begun = self._beginning.get(key)
        if begun is None:
            begun = asyncio.get_running_loop().run_in_executor(None, self._boot.boot_begin, *asked)
            self._beginning[key] = begun
            begun.add_done_callback(lambda _: self._beginning.pop(key))
        return await asyncio.shield(begun)


def text_response(text: str) -> Response:
    """A script: made now, for one machine, kept by nobody."""
    return Response(body=text.encode(), headers={"Cache-Control": "no-store"})
