"""A simulated server: power, firmware, boot OS, deployed system; times are scaled small.

Firmware takes the BMC's override, else the disk, else the network, as the rack's machines do. A disk with
a part of an image has no partition table yet, so it is passed over.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from lab.bmc.boot import device
from lab.definition import MachineDefinition
from lab.sim import netboot, programs
from lab.sim.bmc import InBand, SimBmc
from lab.sim.disks import Content, Disk, Image
from lab.sim.fence import Fence
from lab.sim.root import HOST_KEY, TOKEN, Root
from lab.sim.shell import Shell
from lab.sim.ssh_server import SshServer, new_host_key
from lab.sim.system import System
from lab.sim.witness import Witness

RF_EXEC = "/usr/lib/rackflow/rf-exec"
POST_S = 0.4
KERNEL_S = 0.8
OS_S = 2.5
NETBOOT_S = 20.0
RETRY_S = 0.5

State = Literal["off", "post", "pxe", "boot-os", "os", "hung"]


class PowerLost(Exception):
    """The machine went off while it booted."""


@dataclass
class Machine:
    """One server. `turn_on` and `turn_off` may be called from any thread."""

    definition: MachineDefinition
    address: str
    edge_url: str
    image: Image
    witness: Witness
    loop: asyncio.AbstractEventLoop
    unknown: list[str] = field(default_factory=list)
    disks: list[Disk] = field(default_factory=list)
    state: State = "off"
    boots: int = 0

    def __post_init__(self) -> None:
        names = [(f"sd{chr(97 + n)}", n) for n in range(len(self.definition.disks))]
        self.disks = [
            Disk(one.serial, one.size_bytes, names[n][0], one.bus, f"{one.wwn:016x}" if one.wwn else None)
            for n, one in enumerate(self.definition.disks)
        ]
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._over.set()
        self._fence: Fence | None = None
        self._sshd: SshServer | None = None
        self.bmc = SimBmc(self.definition, self, self.loop)
        self.in_band = InBand(self.bmc, self.loop)

    @property
    def name(self) -> str:
        """The machine's name in the rack."""
        return self.definition.name

    @property
    def is_on(self) -> bool:
        """Whether it has power."""
        return not self._over.is_set()

    def turn_on(self) -> None:
        """Press the power button; nothing when it is on."""
        with self._lock:
            if self.is_on:
                return
            self.boots += 1
            self._over = threading.Event()
            self.state = "post"
            threading.Thread(
                target=self._life, args=(self._over,), name=f"{self.name} boot {self.boots}", daemon=True
            ).start()

    def turn_off(self) -> None:
        """Cut the power."""
        with self._lock:
            self._over.set()
            self.state = "off"
            fence, self._fence = self._fence, None
            sshd, self._sshd = self._sshd, None
        if fence is not None:
            fence.cut()
        if sshd is not None:
            threading.Thread(target=sshd.close, daemon=True).start()

    def note_power(self, action: str, how: str) -> None:
        """Tell the witness."""
        self.witness.note(self.name, self.boots, "power", command=action, how=how)

    @property
    def running(self) -> str | None:
        """The command that rf-exec runs now."""
        fence = self._fence
        return fence.running if fence is not None else None

    @property
    def starts_system(self) -> bool:
        """Whether it is on its way into a deployed system that has not phoned home."""
        root = self.disks[0].content.roots.get(self.image.root_uuid)
        return self.state in ("post", "os") and root is not None and TOKEN in root.files

    @property
    def serves(self) -> bool:
        """Whether the deployed system runs and is the one that the spec asks for."""
        root = self.disks[0].content.roots.get(self.image.root_uuid)
        return self.state == "os" and root is not None and root.text("/etc/hostname") == f"{self.name}\n"

    def go_deaf(self, seconds: float) -> None:
        """The BMC answers nobody on the LAN for a while."""
        self.loop.call_soon_threadsafe(self.bmc.go_deaf, seconds)

    def hear_again(self) -> None:
        """End the BMC's silence."""
        self.loop.call_soon_threadsafe(self.bmc.hear_again)

    # --- a life, in a thread of its own ---

    def _life(self, over: threading.Event) -> None:
        try:
            self._boot(over)
        except PowerLost:
            return
        except Exception as error:  # noqa: BLE001 - a simulator's fault is shown with the run's result
            self.unknown.append(f"{self.name} boot {self.boots}: {type(error).__name__}: {error}")
            self.state = "hung"

    def _boot(self, over: threading.Event) -> None:
        self.in_band.output(f"\n{self.name}: power on self test\n")
        self._pause(over, POST_S)
        first = device(self.in_band.boot_flags())
        order = ["disk", "pxe"] if first != "pxe" else ["pxe", "disk"]
        while True:
            for what in order:
                if (self._boot_disk if what == "disk" else self._boot_network)(over):
                    return
            self._pause(over, RETRY_S)

    def _pause(self, over: threading.Event, seconds: float) -> None:
        if over.wait(seconds):
            raise PowerLost

    def _boot_network(self, over: threading.Event) -> bool:
        """Ask the edge as iPXE does; False when there is nothing to boot."""
        self.state = "pxe"
        smbios, mac = self.definition.smbios, self.definition.nics[0].mac
        ends_at = time.monotonic() + NETBOOT_S
        while True:
            try:
                seed = netboot.ask(self.address, self.edge_url, mac, str(smbios.uuid))
                break
            except OSError:
                if time.monotonic() > ends_at:
                    return False
            self._pause(over, RETRY_S)
        if seed is None:
            return False
        self._pause(over, KERNEL_S)
        system = self._system(over, "boot-os", self.address)
        system.run_epoch = seed.epoch_floor
        key = seed.authorized_key.split()[1]
        public = self._serve(system, new_host_key(), {"root": {key}})
        self.state = "boot-os"
        self.in_band.output("bootos: sshd up\n")
        report = netboot.report(self.definition, seed, self.address, public)
        netboot.until_heard(self.address, seed.report_in, seed.token, report, lambda s: self._pause(over, s))
        return True

    def _boot_disk(self, over: threading.Event) -> bool:
        """Start what is on the first disk; False when it bears no boot loader."""
        content, root_uuid = self.disks[0].content, self.image.root_uuid
        root = content.roots.get(root_uuid)
        if root is None or not content.whole:
            return False
        self._pause(over, OS_S)
        self._start_os(over, content, root, root_uuid)
        return True

    def _start_os(self, over: threading.Event, content: Content, root: Root, root_uuid: str) -> None:
        held = root.addresses()
        system = self._system(over, "os", held[0].partition("/")[0] if held else self.address)
        system.root, system.root_uuid = root, root_uuid
        system.hostname = (root.text("/etc/hostname") or "").strip()
        for disk in self.disks:
            if disk.array is not None:
                system.assemble(disk.array)
        system.mounts["/"] = root_uuid
        programs.mount_all(system)
        self.in_band.output(f"{system.hostname} login: ")
        key = root.text(HOST_KEY)
        if key is None or content.part_of(root_uuid) is None:
            self.state = "os"
            return
        allowed = {name: {k.split()[1] for k in a.keys} for name, a in root.accounts.items()}
        public = self._serve(system, key, allowed)
        self.state = "os"
        netboot.phone_home(system, public, lambda s: self._pause(over, s))

    def _system(self, over: threading.Event, kind: Literal["boot-os", "os"], address: str) -> System:
        return System(self.definition, kind, self.boots, address, self.disks, self.image, over=over)

    def _serve(self, system: System, host_key: str, allowed: dict[str, set[str]]) -> str:
        """Start fence and SSH server of a system; the host key's public half."""
        run: Callable[[str], None] = self.unknown.append
        fence = Fence(system, self.witness, programs.Programs(self.in_band, run).run)
        shell = Shell(system, self.in_band, fence, rf_exec=RF_EXEC, unknown=run)
        with self._lock:
            if not system.alive:
                raise PowerLost
            sshd = SshServer(system.address, host_key, allowed, shell.run)
            self._fence, self._sshd = fence, sshd
        return sshd.public_key
