"""What the worker process has in hand, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from pipeline.steps.deliveries import Deliveries
from pipeline.steps.jobs import Jobs
from pipeline.steps.recorder import Recorder


class Work:
    """Jobs, images and messages in hand."""

    def __init__(self, recorder: Recorder, jobs: Jobs, deliveries: Deliveries) -> None:
        self._registry, self._jobs = CollectorRegistry(), jobs
        self._live = Gauge("shotlog_jobs", "Jobs that haven't ended.", ["status"], registry=self._registry)
        images = Gauge("shotlog_images_waiting", "Images that aren't in the lake yet.", registry=self._registry)
        images.set_function(recorder.waiting)
        messages = Gauge("shotlog_messages_waiting", "Messages that wait for a next try.", registry=self._registry)
        messages.set_function(deliveries.waiting)

    def text(self) -> bytes:
        counts = self._jobs.counts()
        for status in ("CREATED", "PROCESSING"):
            self._live.labels(status).set(counts.get(status, 0))
        return generate_latest(self._registry)
