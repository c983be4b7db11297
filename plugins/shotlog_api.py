"""The HTTP API inside Airflow's API server, under /shotlog. It asks for keys of its own: Airflow's don't open it."""

from __future__ import annotations

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from pipeline.api.gate import Gate


class ShotlogApi(AirflowPlugin):
    """Settings come from SHOTLOG_* and shotlog.toml, as those of the DAGs do."""

    name = "shotlog_api"
    fastapi_apps: ClassVar = [{"app": Gate({}), "url_prefix": "/shotlog", "name": "shotlog"}]
