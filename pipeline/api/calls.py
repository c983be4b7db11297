"""Calls as the gate sees them, for Prometheus. No URL and no key is in it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_JOB, _JOB_ROUTE = "/v2/media/categories/", "/v2/media/categories/{job_id}"
_ROUTES = frozenset(
    {
        *("/v1/chat/completions", "/v1/models", "/v2/media/completions", "/v2/media/categories", "/v2/media/batches"),
        *("/v2/media/jobs", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"),
    }
)
_METHODS = frozenset(("GET", "POST", "DELETE", "OPTIONS", "HEAD"))


class Calls:
    """Answers given, and how long they took to begin."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._calls = Counter("shotlog_api_calls", "Answers.", ["method", "route", "status"], registry=self._registry)
        self._seconds = Histogram(
            "shotlog_api_call_seconds",
            "Seconds until an answer began.",
            ["method", "route"],
            registry=self._registry,
            buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60),
        )

    def count(self, method: str, path: str, status: int, seconds: float) -> None:
        """path: what was asked for; one that isn't known is `other`, for callers can make up any number."""
        method = method if method in _METHODS else "other"
        route = path if path in _ROUTES else _JOB_ROUTE if path.startswith(_JOB) else "other"
        self._calls.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)
