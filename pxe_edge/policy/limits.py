"""Rate limits with bounded memory: a flood costs its sender the answers, not the edge its memory."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

MAC_PACKETS_PER_S: Final = 20.0
"""Twice what a client may count on (10/s); firmware sends 1 to 4 in its first seconds."""
RELAY_PACKETS_PER_S: Final = 50_000.0


class RateLimit:
    """Token buckets by key: `rate` per second, bursts of two seconds' worth, oldest key out."""

    def __init__(self, rate: float, max_keys: int = 16384) -> None:
        self._rate = rate
        self._burst = rate * 2
        self._max_keys = max_keys
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def allows(self, key: Hashable, now: float) -> bool:
        """Take one token of this key; False when it has none left."""
        tokens, at = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + max(0.0, now - at) * self._rate)
        allowed = tokens >= 1
        self._buckets[key] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)
        return allowed
