"""The deployed root as files and accounts, and the two programs that rackflow runs over it.

Written anew from what `metal/drivers/guest` asks for: the reader's question and the agent's document are
data on standard input, so that answering them needs no Python of the simulated machine.
"""

import base64
import fnmatch
import hashlib
import re
from dataclasses import dataclass, field
from typing import Any, Self

GRUB_CFG = "set timeout=1\nsource /boot/grub/rackflow.cfg\nlinux /vmlinuz root=UUID=x\n"
EPOCH = "/var/lib/rackflow/epoch"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
TOKEN = "/etc/rackflow/phone-home.token"  # noqa: S105 - a path


@dataclass
class File:
    """A regular file."""

    data: bytes
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"


@dataclass
class Account:
    """A user of /etc/passwd."""

    shell: str
    shadow: str = "*"
    keys: list[str] = field(default_factory=list)


@dataclass
class Root:
    """One root file system."""

    files: dict[str, File] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)

    @classmethod
    def of_image(cls) -> Self:
        """As the image comes: no key, no user of ours, a name that is nobody's."""
        texts = {
            "/etc/hostname": "debian\n",
            "/etc/hosts": "127.0.0.1 localhost\n",
            "/etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (simulated)"\n',
            "/etc/fstab": "LABEL=root / ext4 defaults 0 1\n",
            "/boot/grub/grub.cfg": GRUB_CFG,
        }
        files = {path: File(text.encode()) for path, text in texts.items()}
        return cls(files | {"/usr/bin/python3": File(b"ELF", "0755")})

    def text(self, path: str) -> str | None:
        """A file as text."""
        found = self.files.get(path)
        return None if found is None else found.data.decode(errors="replace")

    def write(
        self, path: str, data: bytes, mode: str = "0644", owner: str = "root", group: str = "root"
    ) -> None:
        """Put a file, and its folders."""
        self.files[path] = File(data, mode, owner, group)
        parts = path.split("/")[1:-1]
        self.folders |= {"/" + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}

    def addresses(self) -> list[str]:
        """Addresses with prefix that systemd-networkd would set."""
        units = (f.data.decode() for p, f in self.files.items() if p.startswith("/etc/systemd/network/"))
        return [found for text in units for found in re.findall(r"^Address=(\S+)$", text, re.MULTILINE)]

    def mounts(self) -> list[tuple[str, str, str]]:
        """File system UUID, place and kind of each line of fstab that names a UUID."""
        lines = (line.split() for line in (self.text("/etc/fstab") or "").splitlines())
        return [
            (words[0].removeprefix("UUID="), words[1], words[2])
            for words in lines
            if len(words) > 2 and words[0].startswith("UUID=")
        ]

    def answer(self, question: dict[str, Any], live: dict[str, Any] | None) -> dict[str, Any]:
        """What the reader prints."""
        network = fnmatch.filter(self.files, question["network_glob"])
        return {
            "hostname": self.text("/etc/hostname"),
            "os_release": self.text("/etc/os-release"),
            "install": self.text("/etc/rackflow/install.json"),
            "users": {name: self._user(name) for name in question["users"]},
            "files": {path: self._facts(path) for path in question["files"]},
            "network": {path: _sha256(self.files[path].data) for path in network},
            "fstab": self.text("/etc/fstab"),
            "host_key": self.text(f"{HOST_KEY}.pub"),
            "texts": {path: self.text(path) for path in question["texts"]},
            "present": {path: path in self.files or path in self.links for path in question["present"]},
            "live": live,
        }

    def carry_out(self, document: dict[str, Any]) -> None:
        """What the agent does, but for the commands of a running system."""
        for wish in document.get("accounts", ()):
            self._account(wish)
        self.folders |= set(document.get("folders", ()))
        for wish in document.get("files", ()):
            data = base64.b64decode(wish["data"])
            self.write(wish["path"], data, wish["mode"], wish["owner"], wish["group"])
        for wish in document.get("copies", ()):
            self.write(wish["path"], f"copy of {wish['source']}".encode(), wish["mode"])
        for wish in document.get("links", ()):
            self.links[wish["path"]] = wish["target"]
        for path in document.get("remove", ()):
            self.files.pop(path, None)
            self.links.pop(path, None)

    def _account(self, wish: dict[str, Any]) -> None:
        account = self.accounts.setdefault(wish["name"], Account(wish["login_shell"]))
        account.shell = wish["login_shell"]
        account.shadow = wish.get("password_hash") or account.shadow
        if wish.get("keys") is not None:
            account.keys = list(wish["keys"])

    def _user(self, name: str) -> dict[str, Any] | None:
        account = self.accounts.get(name)
        if account is None:
            return None
        sudo = self.text(f"/etc/sudoers.d/rackflow-{name}")
        return {"shell": account.shell, "keys": account.keys, "sudo": sudo, "shadow": account.shadow}

    def _facts(self, path: str) -> dict[str, Any] | None:
        found = self.files.get(path)
        if found is None:
            return None
        facts = {"mode": found.mode, "owner": found.owner, "group": found.group}
        return {"sha256": _sha256(found.data), **facts}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
