"""Counts and times, in the text format that Prometheus reads."""

import bisect
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)  # seconds; 0.3 is what a warm search may take
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What a server has done since its start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: dict[tuple[str, str, int], int] = defaultdict(int)
        self._times: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self._sums: dict[str, float] = defaultdict(float)
        self._uploads: dict[str, int] = defaultdict(int)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            method: GET and the like.
            route: its pattern, such as /api/videos/{id}, never its path: labels must stay few.
            status: of the answer.
            seconds: until the answer began.
        """
        with self._lock:
            self._requests[method, route, status] += 1
            self._times[route][bisect.bisect_left(BUCKETS, seconds)] += 1
            self._sums[route] += seconds

    def upload(self, result: str) -> None:
        """Count an upload's end: added, failed or refused."""
        with self._lock:
            self._uploads[result] += 1

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Write all of it.

        Args:
            gauges: name -> (what it is, its value now).

        Returns:
            Lines of the text format.
        """
        with self._lock:
            requests, uploads = sorted(self._requests.items()), sorted(self._uploads.items())
            times = {route: list(counts) for route, counts in sorted(self._times.items())}
            sums = dict(self._sums)
        lines = _head("mmpt_requests_total", "counter", "Requests answered.")
        for (method, route, status), count in requests:
            lines.append(f'mmpt_requests_total{{method="{method}",route="{route}",status="{status}"}} {count}')
        lines += _head("mmpt_request_seconds", "histogram", "Seconds until an answer began.")
        for route, counts in times.items():
            lines += _histogram(route, counts, sums[route])
        lines += _head("mmpt_uploads_total", "counter", "Uploads by how they ended.")
        lines += [f'mmpt_uploads_total{{result="{result}"}} {count}' for result, count in uploads]
        for name, (about, value) in gauges.items():
            lines += [*_head(name, "gauge", about), f"{name} {value:g}"]
        return "\n".join(lines) + "\n"


def _head(name: str, kind: str, about: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _histogram(route: str, counts: Iterable[int], total: float) -> list[str]:
    lines, so_far = [], 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
        so_far += count
        lines.append(f'mmpt_request_seconds_bucket{{route="{route}",le="{bound}"}} {so_far}')
    lines.append(f'mmpt_request_seconds_sum{{route="{route}"}} {total:.6f}')
    lines.append(f'mmpt_request_seconds_count{{route="{route}"}} {so_far}')
    return lines
