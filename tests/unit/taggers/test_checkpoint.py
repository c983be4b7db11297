"""Which model is meant, and at which revision: folders, and a hub that is a scripted server of the test's own."""

import json
import shutil

import pytest
from huggingface_hub import constants
from pytest_httpserver import HTTPServer

from pipeline.errors import TaggerError, UsageError
from pipeline.taggers import checkpoint

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = {"model_type": "qwen2_vl", "text_config": {"max_position_embeddings": 1000}}


@pytest.fixture
def model(tmp_path):
    """A folder with the files that a model's folder has."""
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(1000))
    return folder


@pytest.fixture
def hub(httpserver: HTTPServer, monkeypatch, tmp_path):
    """A hub of one model on 127.0.0.1, and an empty cache."""
    monkeypatch.setattr(constants, "ENDPOINT", httpserver.url_for("").rstrip("/"))
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", httpserver.url_for("") + "{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # its client's own retries
    return httpserver


def offer(hub, revision="main"):
    body = json.dumps(CONFIG)
    headers = {"X-Repo-Commit": COMMIT, "ETag": '"abc"', "Content-Length": str(len(body))}
    for method in ("HEAD", "GET"):
        hub.expect_request(f"/shop/eyes/resolve/{revision}/config.json", method=method).respond_with_data(
            body, headers=headers, content_type="application/json"
        )


# ---- a folder


def test_a_folder_is_named_without_its_path_and_pinned_by_what_is_in_it(model, tmp_path, monkeypatch):
    found = checkpoint.find(str(model), None)
    assert (found.model, found.commit, found.source) == ("my-model", None, str(model))
    assert found.model_type == "qwen2_vl" and found.context_tokens() == 1000
    shutil.copytree(model, tmp_path / "elsewhere" / "my-model")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("./my-model", "my-model", "my-model/"):
        again = checkpoint.find(name, None)
        assert (again.model, again.revision) == (found.model, found.revision)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors", "chat_template.jinja"])
def test_another_file_is_another_revision(model, name):
    before = checkpoint.digest(model)
    (model / name).write_text('{"model_type": "other"}')
    assert checkpoint.digest(model) != before


def test_what_decides_no_answer_is_no_part_of_the_revision(model):
    before = checkpoint.digest(model)
    (model / "README.md").write_text("read me")
    (model / ".git").mkdir()
    assert checkpoint.digest(model) == before


@pytest.mark.parametrize("place", [0, 0.5, 1])
def test_large_weights_of_the_same_size_that_differ_at_the_start_the_middle_or_the_end_are_told_apart(model, place):
    size = 2**25 + 1_000_000
    with (model / "model.safetensors").open("r+b") as file:
        file.truncate(size)
    before = checkpoint.digest(model)
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(int(place * (size - 600_000)))
        file.write(b"\x01" * 600_000)
    assert (model / "model.safetensors").stat().st_size == size
    assert checkpoint.digest(model) != before


def test_a_folder_has_no_revision_of_a_hub(model):
    with pytest.raises(
        UsageError, match=r"model_revision is 'v2', but .* is a folder: leave SHOTLOG_MODEL_REVISION out"
    ):
        checkpoint.find(str(model), "v2")


@pytest.mark.parametrize("name", ["./no-such", "/no/such", "~/no-such", "models/no/such", "file.gguf"])
def test_a_folder_that_is_not_there_is_said_to_be_none(name, tmp_path, monkeypatch):
    (tmp_path / "file.gguf").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaggerError, match=f"there is no model folder {name}: give a folder that holds config.json"):
        checkpoint.find(name, None)


@pytest.mark.parametrize(
    ("text", "said"), [(None, "holds no model that can be read"), ("{", "not valid JSON"), ("[]", "no JSON object")]
)
def test_a_folder_without_a_configuration_is_no_model(model, text, said):
    (model / "config.json").unlink()
    if text is not None:
        (model / "config.json").write_text(text)
    with pytest.raises(TaggerError, match=said):
        checkpoint.find(str(model), None)


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({"max_position_embeddings": 32768, "vision_config": {"max_position_embeddings": 77}}, 32768),
        ({"text_config": {"max_position_embeddings": 4096}, "max_position_embeddings": 2048}, 4096),
        ({"text_config": {}, "vision_config": {"max_position_embeddings": 77}}, None),
        ({"text_config": None}, None),
    ],
)
def test_the_context_is_that_of_the_text_model(config, tokens):
    assert checkpoint.Checkpoint("m", "r", "m", None, config).context_tokens() == tokens


# ---- a hub's model


def test_a_name_is_pinned_to_the_commit_and_asked_for_only_once(hub):
    offer(hub)
    found = checkpoint.find("shop/eyes", None)
    assert (found.model, found.revision, found.commit, found.source) == ("shop/eyes", COMMIT, COMMIT, "shop/eyes")
    assert found.config == CONFIG
    asked = len(hub.log)
    hub.clear()
    assert checkpoint.find("shop/eyes", None) == found == checkpoint.find("shop/eyes", COMMIT)
    assert asked and not hub.log  # cleared with the rest, and nothing came after


def test_a_revision_is_asked_for_by_its_name(hub):
    offer(hub, revision="v2")
    assert checkpoint.find("shop/eyes", "v2").revision == COMMIT
    assert {request.path for request, _ in hub.log} == {"/", "/shop/eyes/resolve/v2/config.json"}


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("RepoNotFound", 404, "knows no model shop/eyes"),
        ("GatedRepo", 403, "accept them on its page .*then set HF_TOKEN"),
        ("RevisionNotFound", 404, "has no revision v2: check SHOTLOG_MODEL_REVISION"),
        ("EntryNotFound", 404, "at revision v2 has no config.json"),
        (None, 500, "can't be reached: connect once"),
    ],
)
def test_what_the_hub_refuses_is_said_with_the_next_step(hub, code, status, said):
    headers = {"X-Error-Code": code} if code else {}
    hub.expect_request("/shop/eyes/resolve/v2/config.json").respond_with_data("", status=status, headers=headers)
    with pytest.raises(TaggerError, match=said):
        checkpoint.find("shop/eyes", "v2")


def test_a_hub_out_of_reach_is_an_error_that_says_what_to_do(hub, capfd):
    hub.stop()
    with pytest.raises(TaggerError, match=r"model shop/eyes isn't on this machine and http://.* can't be reached"):
        checkpoint.find("shop/eyes", None)
    hub.start()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["two words", "-x", "a--b", "owner/name.git"])
def test_a_name_that_can_be_no_models_is_refused(hub, name):
    with pytest.raises(TaggerError, match="is no folder and can't be a model's name on the hub"):
        checkpoint.find(name, None)
    assert not hub.log
