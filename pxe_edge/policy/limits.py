"""Rate limits with bounded memory: a flood costs its sender the answers, not the edge its memory."""

from collections.abc import Hashable
from typing import Final

MAC_PACKETS_PER_S: Final = 20
"""Twice what a client may count on (10/s); firmware sends 1 to 4 in its first seconds."""
RELAY_PACKETS_PER_S: Final = 60_000
"""Above the 50,000/s that a relay may count on."""
WINDOW_S: Final = 2.0


class RateLimit:
    """Counts by key in windows of two seconds, so that a burst of two seconds' worth passes.

    A window that saw `max_keys` keys counts no new ones: those pass, and the memory stays bounded.
    """

    def __init__(self, per_s: float, max_keys: int = 65536) -> None:
        self._limit = int(per_s * WINDOW_S)
        self._max_keys = max_keys
        self._counts: dict[Hashable, int] = {}
        self._ends_at = 0.0

    def allows(self, key: Hashable, now: float) -> bool:
        """Count one packet of this key; False when it is too many."""
        counts = self._counts
        if now >= self._ends_at or now < self._ends_at - WINDOW_S:
            counts.clear()
            self._ends_at = now + WINDOW_S
        count = counts.get(key, 0) + 1
        if count == 1 and len(counts) >= self._max_keys:
            return True
        counts[key] = count
        return count <= self._limit
