"""Numbers for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """What is counted while the service runs, and what is looked up when somebody asks."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "trueup_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "trueup_request_seconds", "How long answering took.", ("route",), registry=self._registry
        )
        provider = {"labelnames": ("provider",), "registry": self._registry}
        self._bytes = Gauge("trueup_storage_bytes", "Bytes that each provider holds.", **provider)  # type: ignore[arg-type]
        self._free = Gauge("trueup_storage_available_bytes", "Bytes that it still takes.", **provider)  # type: ignore[arg-type]
        self._files = Gauge("trueup_storage_files", "Files that it holds.", **provider)  # type: ignore[arg-type]
        self._runs = Gauge("trueup_runs", "The newest runs by state.", ("job", "state"), registry=self._registry)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; the route is its pattern, empty for none of ours."""
        self._requests.labels(method if route else "", route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def render(self, storage: Iterable[Mapping[str, object]], runs: Mapping[tuple[str, str], int]) -> bytes:
        """As Prometheus reads it; `runs` counts jobs and their states."""
        for row in storage:
            name = str(row["provider"])
            self._bytes.labels(name).set(float(str(row["total_size_bytes"])))
            self._free.labels(name).set(float(str(row["available_bytes"])))
            self._files.labels(name).set(float(str(row["file_count"])))
        self._runs.clear()
        for (job, state), count in runs.items():
            self._runs.labels(job, state).set(count)
        return generate_latest(self._registry)
