"""The BMC's network interface: the LanPort port over `ip`, and udhcpc when the address comes from DHCP."""

import asyncio
import ipaddress
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from lab.bmc.state import SOURCE_DHCP, UNSET_ADDRESS, LanSettings
from lab.processes import ProcessRecord, end, spawn

ANSWER_FIRST_S = 0.1
"""The answer to "set address" leaves by the old address."""
IP_TIMEOUT_S = 10
DHCP_SCRIPT = """#!/bin/sh
case $1 in bound|renew)
    ip addr flush dev $interface
    ip addr add $ip/${mask:-24} dev $interface
    [ -n "$router" ] && ip route replace default via ${router%% *} ;;
esac
"""


class BmcInterface:
    """Implements `controller.LanPort` for an interface of the network namespace this process is in."""

    def __init__(
        self, interface: str, mac: str, settings: Callable[[], LanSettings], log: Callable[[str], None]
    ) -> None:
        self._interface = interface
        self._mac = bytes.fromhex(mac.replace(":", ""))
        self._settings = settings
        self._log = log
        self._dhcp: ProcessRecord | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()

    @property
    def mac(self) -> bytes:
        """Hardware address."""
        return self._mac

    def current(self) -> tuple[ipaddress.IPv4Interface | None, ipaddress.IPv4Address | None]:
        """What the interface has."""
        links = json.loads(self._ip("-j", "-4", "addr", "show", "dev", self._interface) or "[]")
        addresses = [info for link in links for info in link.get("addr_info", [])]
        routes = json.loads(self._ip("-j", "-4", "route", "show", "default") or "[]")
        interface = (
            ipaddress.IPv4Interface(f"{addresses[0]['local']}/{addresses[0]['prefixlen']}")
            if addresses
            else None
        )
        return interface, ipaddress.IPv4Address(routes[0]["gateway"]) if routes else None

    def settings_changed(self) -> None:
        """Apply after the answer is out."""
        task = asyncio.ensure_future(self._apply_later())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _apply_later(self) -> None:
        await asyncio.sleep(ANSWER_FIRST_S)
        await self.apply()

    async def apply(self) -> None:
        """Make the interface what the settings say."""
        async with self._lock:
            await asyncio.to_thread(self._apply, self._settings())

    def stop(self) -> None:
        """End the DHCP client."""
        if self._dhcp is not None:
            end(self._dhcp, grace_s=1)
            self._dhcp = None

    def _apply(self, lan: LanSettings) -> None:
        self.stop()
        if lan.source == SOURCE_DHCP:
            self._ip("addr", "flush", "dev", self._interface)
            self._start_dhcp()
            return
        wanted = lan.interface
        if wanted is None or self.current()[0] != wanted:
            self._ip("addr", "flush", "dev", self._interface)
        if wanted is None:
            return
        self._ip("addr", "replace", str(wanted), "dev", self._interface)
        if lan.gateway != UNSET_ADDRESS:
            self._ip("route", "replace", "default", "via", lan.gateway)
        self._log(f"address {wanted}, gateway {lan.gateway}")

    def _start_dhcp(self) -> None:
        client = [name for name in ("udhcpc", "busybox") if shutil.which(name)]
        if not client:
            self._log("address source DHCP, but there is no udhcpc: install busybox-static")
            return
        script = Path("udhcpc.sh").resolve()
        script.write_text(DHCP_SCRIPT)
        script.chmod(0o700)
        argv = ["udhcpc"] if client[0] == "udhcpc" else ["busybox", "udhcpc"]
        argv += ["-f", "-i", self._interface, "-t", "3", "-A", "3", "-s", str(script), "-V", "rackflow-bmc"]
        self._dhcp = ProcessRecord.of(spawn(argv, log=Path("udhcpc.log")))
        self._log("address source DHCP")

    def _ip(self, *arguments: str) -> str:
        done = subprocess.run(
            ["ip", *arguments], capture_output=True, text=True, timeout=IP_TIMEOUT_S, check=False
        )
        if done.returncode:
            self._log(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout
