"""docker/ is held to what can be checked with no container engine: structure, secrets, and a linter's opinion."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.settings import BACKFILL_POOL, ENV_PREFIX, GPU_POOL, Settings

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = [name for name, service in SERVICES.items() if service["restart"] != "no"]

LINTER = Path(sys.executable).with_name("hadolint")

SECRET = re.compile(r"PASSWORD|SECRET|FERNET|KEY|TOKEN|SQL_ALCHEMY_CONN")
"""Names of variables that hold one, or hold one inside."""


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def arguments(instruction: str) -> list[str]:
    return [rest for word, rest in instructions() if word == instruction]


# ── Dockerfile ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_linter_finds_nothing() -> None:
    done = subprocess.run([LINTER, "--no-color", DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_base_is_pinned_by_a_tag_of_the_python_that_pyproject_wants() -> None:
    assert {base.split()[0] for base in arguments("FROM")} == {"python:3.11-slim-bookworm"}


def test_no_stage_ends_as_root() -> None:
    users = ["root"]
    for word, rest in instructions():
        if word == "FROM":
            users.append("root")
        elif word == "USER":
            users[-1] = rest
    assert users[1:] == ["50000"] * len(arguments("FROM"))


def test_what_is_copied_exists_and_reaches_the_engine() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    for line in arguments("COPY"):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert any(fnmatch(source, pattern) for pattern in let_through), f"{source} is in .dockerignore"


def test_nothing_else_reaches_the_engine() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    copied = {source for line in arguments("COPY") for source in line.split()[:-1]}
    assert lines[0] == "*"
    assert {line.removeprefix("!") for line in lines if line.startswith("!")} <= copied


def test_every_command_is_a_list_that_needs_no_shell_to_be_split() -> None:
    assert len(arguments("CMD")) == len(arguments("FROM"))
    assert all(isinstance(json.loads(command), list) for command in arguments("CMD"))


def test_every_release_is_pinned() -> None:
    for line in arguments("RUN"):
        if "pip install" in line:
            assert "--require-hashes" in line or "--constraint constraints.txt" in line
            added = [word for word in line.partition("'.[")[2].split()[1:] if not word.startswith("-")]
            assert all("==" in word for word in added), added


def test_the_image_holds_no_secret() -> None:
    names = [name for line in arguments("ENV") + arguments("ARG") for name in re.findall(r"(\w+)=", line)]
    assert not [name for name in names if SECRET.search(name)]


# ── compose.yaml ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_services_are_there() -> None:
    assert set(SERVICES) == {"postgres", "migrate", "api-server", "scheduler", "dag-processor", "s3"}
    assert [name for name, service in SERVICES.items() if "profiles" in service] == ["s3"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_secret_comes_from_the_environment(name: str) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        if SECRET.search(variable):
            given_on = value is None  # an empty value in compose: the caller's variable, where it is set
            assert given_on or re.search(r"\$\{\w+:\?[^}]+\}", value), f"{variable} has a default"
            assert ":-" not in (value or "")


def test_every_variable_is_one_that_env_example_shows() -> None:
    text = (ROOT / "docker" / "compose.yaml").read_text()
    example = (ROOT / "docker" / "env.example").read_text()
    needed = set(re.findall(r"\$\{(\w+):\?", text))
    assert needed <= set(re.findall(r"^(\w+)=$", example, re.MULTILINE)), "named and left empty"
    assert not re.findall(r"^\w+=.+$", example, re.MULTILINE), "an example with a value is a default"


def test_every_setting_of_shotlog_exists() -> None:
    known = {ENV_PREFIX + name.upper() for name in Settings.model_fields}
    given = {name for service in SERVICES.values() for name in service["environment"] if name.startswith(ENV_PREFIX)}
    assert given
    assert given | set(re.findall(rf"{ENV_PREFIX}\w+", DOCKERFILE.read_text())) <= known


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_open_to_this_machine_only(name: str) -> None:
    assert all(str(port).startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@pytest.mark.parametrize("name", LASTING)
def test_a_lasting_service_says_whether_it_is_well(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries"} <= set(check)


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_can_come(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = how["condition"]
        assert wanted in ("service_healthy", "service_completed_successfully")
        assert ("healthcheck" in SERVICES[other]) == (wanted == "service_healthy")


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_an_image_with_a_tag_or_a_stage_of_the_dockerfile(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w-]+:[\w.-]+", service["image"])
    assert not service["image"].endswith(":latest")
    if build := service.get("build"):
        stages = {line.partition(" AS ")[2] for line in arguments("FROM")}
        assert build["target"] in stages
        assert (ROOT / "docker" / build["context"] / build["dockerfile"]).resolve() == DOCKERFILE


@pytest.mark.parametrize("name", SERVICES)
def test_what_must_outlive_a_container_is_on_a_volume(name: str) -> None:
    mounted = dict(volume.split(":")[:2] for volume in SERVICES[name]["volumes"])
    assert set(mounted) <= set(COMPOSE["volumes"])
    environment = SERVICES[name]["environment"]
    if "SHOTLOG_LAKE" in environment:
        assert environment["SHOTLOG_LAKE"] == "${SHOTLOG_LAKE:-/srv/shotlog/lake}"
        assert "/srv/shotlog" in mounted.values()


def test_the_catalog_of_a_lake_lies_in_the_postgres_that_is_there_for_airflow() -> None:
    server = SERVICES["postgres"]["environment"]
    user, database = server["POSTGRES_USER"], server["POSTGRES_DB"]
    place = f"${{SHOTLOG_CATALOG:-postgresql://{user}:${{POSTGRES_PASSWORD}}@postgres/{database}}}"
    named = {
        service["environment"]["SHOTLOG_CATALOG"]
        for service in SERVICES.values()
        if "SHOTLOG_LAKE" in service["environment"]
    }
    assert named == {place}


def test_the_pools_are_made_before_anything_is_scheduled() -> None:
    shell, options, script = SERVICES["migrate"]["command"]
    assert (shell, options) == ("sh", "-ec")
    migrate, *pools = (part.strip().removeprefix("exec ") for part in script.split(";"))
    assert shlex.split(migrate) == ["airflow", "db", "migrate"]
    made = [["airflow", "pools", "set", name, "1"] for name in (GPU_POOL, BACKFILL_POOL)]
    assert [shlex.split(pool)[:5] for pool in pools] == made
    for name in ("api-server", "scheduler", "dag-processor"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_the_image_has_what_its_model_server_is_asked_with() -> None:
    assert "SHOTLOG_OPENAI_BASE_URL" in SERVICES["scheduler"]["environment"]
    assert any(
        "openai" in extras.split(",") for line in arguments("RUN") for extras in re.findall(r"\.\[(.*?)\]", line)
    )


def test_all_of_airflow_shares_one_environment() -> None:
    airflow = [service["environment"] for service in SERVICES.values() if service["image"] == "shotlog:local"]
    assert len(airflow) == 4
    assert all(environment == airflow[0] for environment in airflow)
