"""How many further attempts calls may make: a share of the calls, so that a sick fleet is not made sicker."""

import threading


class Budget:
    """A bucket of tokens: every call puts a part of one in, every further attempt takes one out.

    While all goes well it is full, and a burst of `most` further attempts is at hand when a server dies. When every
    call needs more attempts, as when the whole fleet is slow, only a share of them get one. (Finagle's retry budget
    and gRPC's `retryThrottling` are of this kind.)
    """

    def __init__(self, share: float, most: float) -> None:
        """`share` of the calls may make a further attempt in the long run; `most` attempts at once."""
        self._share = share
        self._most = most
        self._tokens = most
        self._lock = threading.Lock()

    def call(self) -> None:
        """A call begins."""
        with self._lock:
            self._tokens = min(self._most, self._tokens + self._share)

    def take(self) -> bool:
        """Whether a further attempt may be made; if so, it is counted."""
        with self._lock:
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True
