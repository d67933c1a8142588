"""How much a store may take: looked at as a whole now and then, and added up in between."""

import threading
import time
from collections.abc import Callable

from .errors import StoreFull

EVERY = 30.0
"""Seconds between two looks at the whole store; more where a look takes long."""
SHARE = 50
"""A look takes at most one part in so many of the time."""


class Quota:
    """Bytes that a store may take, for all writers of one `Store`. Safe from any thread.

    most: the bytes. used: looks at the whole store. where: its address, for the sentence.
    """

    def __init__(self, most: float, used: Callable[[], int], where: str) -> None:
        self.most, self._look, self._where = most, used, where
        self._used = 0
        self._next = 0.0
        self._lock = threading.Lock()

    def used(self) -> int:
        """What the store takes, as far as is known: what other processes write is seen at the next look."""
        with self._lock:
            now = time.monotonic()
            if now >= self._next:
                self._used = self._look()
                took = time.monotonic() - now
                self._next = time.monotonic() + max(EVERY, SHARE * took)
            return self._used

    def check(self, more: int) -> None:
        """Refuse to write so many bytes more, if they are too many.

        Raises:
            StoreFull: they are.
        """
        if more > 0 and self.used() + more > self.most:
            raise StoreFull(
                f"The store {self._where} has reached its quota of {self.most / 1e9:,.3g} GB; "
                "what is stored is intact, and deleting runs for good makes room."
            )

    def add(self, more: int) -> None:
        """So many bytes more (or fewer) were written."""
        with self._lock:
            self._used += more
