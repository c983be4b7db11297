"""Jobs that Airflow carries out: each is a run of the DAG `tag_media` under the job's id, begun over its REST API."""

from __future__ import annotations

from typing import Any, Literal

import httpx
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from pipeline.errors import TaggerError, UsageError
from pipeline.settings import Settings

DAG = "tag_media"

State = Literal["queued", "running", "success", "failed"]

_THERE_ALREADY = 409

_patiently = retry(
    retry=retry_if_exception_type(httpx.TransportError),
    stop=stop_after_attempt(5),
    wait=wait_random_exponential(multiplier=0.5, max=10),
    reraise=True,
)


class Airflow:
    """Airflow's REST API (version 2). Its methods suit many threads. They raise TaggerError where it isn't there."""

    def __init__(self, settings: Settings) -> None:
        """Raises UsageError where nobody has said where it is."""
        if not settings.airflow_url:
            raise UsageError("with SHOTLOG_JOBS=airflow say where it is: SHOTLOG_AIRFLOW_URL=http://airflow:8080")
        self._url = settings.airflow_url.rstrip("/")
        self._user, self._password = settings.airflow_user, settings.airflow_password
        self._client = httpx.Client(timeout=30, trust_env=False)
        self._token = ""

    def close(self) -> None:
        self._client.close()

    def begin(self, run_id: str, conf: dict[str, Any]) -> None:
        """Begin a run, unless it has begun before."""
        answer = self._ask("POST", "dagRuns", {"dag_run_id": run_id, "logical_date": None, "conf": conf})
        if answer.status_code != _THERE_ALREADY:
            self._check(answer)

    def state(self, run_id: str) -> State:
        answer = self._ask("GET", f"dagRuns/{run_id}")
        self._check(answer)
        state: State = answer.json()["state"]
        return state

    def stop(self, run_id: str) -> None:
        """Have a run fail; its tasks are ended."""
        self._check(self._ask("PATCH", f"dagRuns/{run_id}", {"state": "failed"}))

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        try:
            answer = self._send(method, path, body)
            if answer.status_code == httpx.codes.UNAUTHORIZED:  # there is no token yet, or it has expired
                self._token = self._log_in()
                answer = self._send(method, path, body)
        except httpx.HTTPError as error:
            raise TaggerError(f"Airflow at {self._url} can't be reached ({type(error).__name__})") from None
        return answer

    @_patiently
    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return self._client.request(method, f"{self._url}/api/v2/dags/{DAG}/{path}", json=body, headers=headers)

    @_patiently
    def _log_in(self) -> str:
        if self._user is None:
            answer = self._client.get(f"{self._url}/auth/token")
        else:
            password = self._password.get_secret_value() if self._password else ""
            answer = self._client.post(f"{self._url}/auth/token", json={"username": self._user, "password": password})
        self._check(answer)
        return str(answer.json()["access_token"])

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_error:
            raise TaggerError(
                f"Airflow at {self._url} answers {answer.status_code}: check SHOTLOG_AIRFLOW_USER and its DAG"
            )
