"""lshw's tree: one node per device, whichever form it was printed in."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

TOOL: Final = "lshw"
LIMIT_DEPTH: Final = 60
"""Deeper than any tree of buses; a bound, because nodes below nodes are walked by recursion."""


@dataclass(frozen=True, slots=True)
class Node:
    """A device: its class, its texts ("product", "vendor", …), settings, capabilities and what is below."""

    id: str
    class_name: str
    texts: dict[str, str] = field(default_factory=dict)
    logical_names: tuple[str, ...] = ()
    size: int | None = None
    settings: dict[str, str] = field(default_factory=dict)
    capabilities: frozenset[str] = frozenset()
    disabled: bool = False
    children: tuple["Node", ...] = ()

    def text(self, key: str) -> str | None:
        """The text of a field; None where there is none."""
        return self.texts.get(key) or None

    @property
    def name(self) -> str:
        """The id without the number that lshw adds where there are several: `cpu` of `cpu:1`."""
        return self.id.partition(":")[0]


TEXTS: Final = ("description", "product", "vendor", "serial", "businfo", "slot", "version")


def walk(nodes: tuple[Node, ...], parent: Node | None = None) -> Iterator[tuple[Node, Node | None]]:
    """Every node with its parent, parents first."""
    for node in nodes:
        yield node, parent
        yield from walk(node.children, node)
