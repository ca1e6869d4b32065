"""What happened on the server, for its operator: counts, latencies and gauges in Prometheus' text format."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping

import psutil

LAST = 1000
"""Requests of a kind that the quantiles are of."""
SPAN = 60.0
"""Seconds that the tokens a second are of."""
QUANTILES = (0.5, 0.95)


class Metrics:
    """Counts since the start; quantiles over the last `LAST` requests of each kind."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._seconds: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=LAST))
        self._waited: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=LAST))
        self._tokens = 0
        self._written: deque[tuple[float, int]] = deque()
        self.gauges: dict[str, Callable[[], float]] = {}
        """Asked when somebody looks: name -> a function."""

    def done(self, kind: str, seconds: float, waited: float | None = None) -> None:
        """A request of ``kind`` has ended after ``seconds``, for which it ``waited`` before."""
        with self._lock:
            self._counts[kind] += 1
            self._seconds[kind].append(seconds)
            if waited is not None:
                self._waited[kind].append(waited)

    def refused(self, why: str) -> None:
        with self._lock:
            self._refused[why] += 1

    def failed(self, kind: str) -> None:
        """Something broke; ``kind`` is one of `apps.server.faults`."""
        with self._lock:
            self._failed[kind] += 1

    def wrote(self, tokens: int) -> None:
        """Models have written so many tokens."""
        now = self._clock()
        with self._lock:
            self._tokens += tokens
            self._written.append((now, tokens))
            while self._written and now - self._written[0][0] > SPAN:
                self._written.popleft()

    @property
    def tokens_per_second(self) -> float:
        """Over the last `SPAN` seconds, all requests together."""
        now = self._clock()
        with self._lock:
            return sum(count for at, count in self._written if now - at <= SPAN) / SPAN

    def refusals(self) -> dict[str, int]:
        with self._lock:
            return dict(self._refused)

    def faults(self) -> dict[str, int]:
        with self._lock:
            return dict(self._failed)

    def text(self) -> str:
        """All of it, in Prometheus' text format (version 0.0.4)."""
        with self._lock:
            counts, refused, failed = dict(self._counts), dict(self._refused), dict(self._failed)
            seconds = {kind: sorted(found) for kind, found in self._seconds.items()}
            waited = {kind: sorted(found) for kind, found in self._waited.items()}
            tokens = self._tokens
        lines = _family("requests_total", "counter", "Requests that have ended.", counts, "kind")
        lines += _family("refusals_total", "counter", "Requests that were refused, by reason.", refused, "reason")
        lines += _family("faults_total", "counter", "What broke, by kind.", failed, "kind")
        lines += _summary("latency_seconds", "Seconds a request took, its wait not counted.", seconds)
        lines += _summary("wait_seconds", "Seconds a request waited in line.", waited)
        lines += _family("tokens_total", "counter", "Tokens that models have written.", {"": tokens})
        gauges = {
            "tokens_per_second": self.tokens_per_second, "resident_bytes": float(psutil.Process().memory_info().rss),
            **{name: float(ask()) for name, ask in self.gauges.items()},
        }  # fmt: skip
        for name, value in gauges.items():
            lines += _family(name, "gauge", "", {"": value})
        return "\n".join(lines) + "\n"


def _family(name: str, kind: str, about: str, values: Mapping[str, float], label: str = "") -> list[str]:
    lines = [f"# HELP workbench_{name} {about}"] if about else []
    lines.append(f"# TYPE workbench_{name} {kind}")
    for key, value in values.items():
        mark = f'{{{label}="{key}"}}' if label else ""
        lines.append(f"workbench_{name}{mark} {value:.15g}")  # counts stay whole
    return lines


def _summary(name: str, about: str, values: Mapping[str, list[float]]) -> list[str]:
    lines = [f"# HELP workbench_{name} {about}", f"# TYPE workbench_{name} summary"]
    for kind, found in values.items():
        for share in QUANTILES:
            lines.append(f'workbench_{name}{{kind="{kind}",quantile="{share:g}"}} {quantile(found, share):.6f}')
        lines.append(f'workbench_{name}_count{{kind="{kind}"}} {len(found)}')
    return lines


def quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least ``share`` of the ``ordered`` ones do not exceed."""
    rank = max(1, -int(-share * len(ordered) // 1))
    return ordered[min(rank, len(ordered)) - 1]
