"""The engine that runs a model in this process, on a tiny LLaVA with random weights: what it writes means nothing."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.errors import CODES, TaggerError
from pipeline.settings import Settings
from pipeline.taggers import sharing, transformers
from pipeline.taggers.engine import Prompt, Turn
from pipeline.taggers.transformers import TransformersEngine
from tests.unit.taggers.returned import returned

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"count": {"type": "integer", "minimum": 0, "maximum": 99}, "seen": {"enum": ["cat", "dog"]}},
        "required": ["count", "seen"],
        "additionalProperties": False,
    }
)


@pytest.fixture(scope="module")
def folder(tiny_model):
    return tiny_model


@pytest.fixture(scope="module")
def engine(folder):
    """One open engine for all that doesn't change it."""
    with TransformersEngine(str(folder), Settings(model_batch=4, max_pixels=200_000)) as opened:
        yield opened


@pytest.fixture
def another(folder, tmp_path):
    """A copy of the model's folder that a test may damage."""
    return shutil.copytree(folder, tmp_path / "another")


def picture(height=60, width=80, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), np.uint8)


def prompt(*parts, max_tokens=6, schema=None, ticket=None):
    return Prompt((Turn("user", parts or (picture(), "What is it?")),), max_tokens, schema, ticket)


def texts(completions):
    return {completion.prompt.ticket: completion.text for completion in completions}


@pytest.fixture
def batches(engine, monkeypatch):
    """The size of every batch that the model of `engine` is asked for, and in `written` the tokens a row it wrote."""
    generate = engine._model.model.generate

    class Batches(list):
        def __init__(self):
            self.written = []

    counted = Batches()

    def counting(**inputs):
        counted.append(len(inputs["input_ids"]))
        rows = generate(**inputs)
        counted.written.append(rows.shape[1] - inputs["input_ids"].shape[1])
        return rows

    monkeypatch.setattr(engine._model.model, "generate", counting)
    return counted


# ---- what it is


def test_what_stands_in_the_recipe_is_known_before_anything_is_imported(folder):
    code = (
        "import sys; from pipeline.settings import Settings; from pipeline.taggers.transformers import *;"
        "engine = TransformersEngine(sys.argv[1], Settings());"
        "print(engine.model, len(engine.revision), engine.context_tokens());"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tiny-llava", "12", "32768", "set()"]


def test_the_setting_says_how_many_tokens_it_holds_where_the_model_is_silent_or_wrong(folder, another):
    assert TransformersEngine(str(folder), Settings(context_tokens=2048)).context_tokens() == 2048
    config = json.loads((another / "config.json").read_text())
    del config["text_config"]["max_position_embeddings"]
    (another / "config.json").write_text(json.dumps(config))
    with pytest.raises(TaggerError, match="doesn't say how many tokens it can hold: set SHOTLOG_CONTEXT_TOKENS"):
        TransformersEngine(str(another), Settings()).context_tokens()


def test_a_missing_extra_is_named_before_the_model_is_looked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "xgrammar", None)  # as where it isn't installed
    with pytest.raises(ModuleNotFoundError) as caught:
        TransformersEngine("./no-such-folder", Settings())
    assert caught.value.name == "xgrammar"


def test_torch_is_told_to_leave_waiting_cores_to_the_decoders_before_it_is_loaded(folder):
    code = (
        "import os, sys; from pipeline.settings import Settings; from pipeline.taggers.transformers import *;"
        "engine = TransformersEngine(sys.argv[1], Settings()); assert 'torch' not in sys.modules\n"
        "with engine: print(os.environ['OMP_WAIT_POLICY'])"
    )
    own = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    for environment, policy in ((own, "PASSIVE"), (own | {"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")):
        command = [sys.executable, "-c", code, folder]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == policy


def test_it_is_of_no_use_before_it_is_entered(folder):
    with pytest.raises(RuntimeError, match="with statement"):
        list(TransformersEngine(str(folder), Settings()).complete([prompt()]))


# ---- what it loads


def test_a_model_is_loaded_once_however_often_it_is_entered_and_gone_after_the_last(folder, engine):
    other = TransformersEngine(str(folder), Settings())
    with other, other:
        assert other._model is engine._model
    assert other._model is None and engine._key in sharing._open
    alone = TransformersEngine(str(folder), Settings(dtype="bfloat16"))
    with alone:
        assert alone._model is not engine._model and alone._model.model.dtype is torch.bfloat16
    assert alone._key not in sharing._open


def test_it_runs_in_single_precision_on_a_cpu_without_dropout_and_leaves_torch_its_threads(engine):
    assert engine._model.model.dtype is torch.float32 and not engine._model.model.training
    code = (
        "import sys, torch; before = torch.get_num_threads(); from pipeline.settings import Settings;"
        "from pipeline.taggers.transformers import *; from pipeline.taggers.engine import *;\n"
        "with TransformersEngine(sys.argv[1], Settings()) as engine:\n"
        "    list(engine.complete([Prompt((Turn('user', ('Hi',)),), 2)]))\n"
        "assert torch.get_num_threads() == before"
    )
    done = subprocess.run([sys.executable, "-c", code, engine._checkpoint.source], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")  # and it says nothing


def test_a_model_that_sees_nothing_is_refused_by_its_type(tmp_path):
    from transformers import LlamaConfig

    LlamaConfig(hidden_size=8, num_attention_heads=1).save_pretrained(tmp_path / "deaf")
    with pytest.raises(
        TaggerError, match=r"model deaf \(model_type llama\) can't look at pictures: name an image-text"
    ):
        TransformersEngine(str(tmp_path / "deaf"), Settings()).__enter__()


def test_a_model_whose_processor_is_not_there_is_refused(another):
    (another / "processor_config.json").unlink()
    with pytest.raises(TaggerError, match="the processor of model another can't be loaded: OSError"):
        TransformersEngine(str(another), Settings()).__enter__()


def test_a_processor_that_knows_only_text_is_refused(another):
    (another / "processor_config.json").write_text(json.dumps({"processor_class": "LlamaTokenizerFast"}))
    with pytest.raises(TaggerError, match=r"model another \(model_type llava\) can't look at pictures"):
        TransformersEngine(str(another), Settings()).__enter__()


def test_a_type_that_transformers_does_not_know_is_refused(another):
    (another / "config.json").write_text(json.dumps({"model_type": "crystal_ball"}))
    with pytest.raises(TaggerError, match=r"\(model_type crystal_ball\) can't be loaded by transformers 5"):
        TransformersEngine(str(another), Settings()).__enter__()


def test_a_model_without_a_chat_template_is_refused(another):
    (another / "chat_template.jinja").unlink()
    with pytest.raises(TaggerError, match="no chat template that takes pictures and text: use its instruction-tuned"):
        TransformersEngine(str(another), Settings()).__enter__()


def test_weights_that_are_not_there_or_cut_are_refused(another):
    with (another / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(TaggerError, match="weights of model another can't be loaded"):
        TransformersEngine(str(another), Settings()).__enter__()
    (another / "model.safetensors").unlink()
    with pytest.raises(TaggerError, match="weights of model another can't be loaded"):
        TransformersEngine(str(another), Settings()).__enter__()


def test_random_weights_never_stand_in_for_missing_ones(another):
    tensors = load_file(another / "model.safetensors")
    del tensors[next(name for name in tensors if "q_proj" in name)]
    save_file(tensors, another / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TaggerError, match=r"aren't complete: 1 tensors are missing \(.*q_proj.*Fetch the model again"):
        TransformersEngine(str(another), Settings()).__enter__()


# ---- what it answers


def test_every_prompt_is_answered_and_keeps_its_ticket(engine):
    asked = [prompt(picture(20 + 30 * n, 50, n), "What?", ticket=n) for n in range(6)] + [prompt("Hello", ticket="x")]
    completions = list(engine.complete(asked))
    assert {completion.prompt.ticket for completion in completions} == {0, 1, 2, 3, 4, 5, "x"}
    assert all(completion.model_s > 0 for completion in completions)


def test_the_answer_does_not_depend_on_what_shares_its_batch(engine):
    asked = [prompt(picture(seed=n), "What?" * (n + 1), ticket=n) for n in range(4)]
    together = texts(engine.complete(asked))
    assert {n: texts(engine.complete([asked[n]]))[n] for n in range(4)} == together


def test_json_is_held_to_its_schema_beside_rows_that_have_another_or_none(engine):
    other = json.dumps({"enum": ["yes", "no"]})
    asked = [prompt(schema=s, max_tokens=60, ticket=n) for n, s in enumerate((SCHEMA, None, other, SCHEMA))]
    done = {completion.prompt.ticket: completion for completion in engine.complete(asked)}
    assert done[0].text == done[3].text and set(json.loads(done[0].text)) == {"count", "seen"}
    assert json.loads(done[2].text) in ("yes", "no")
    assert done[1].text == texts(engine.complete([replace(asked[1], ticket=1)]))[1]
    assert [done[n].error_code for n in (0, 2, 3)] == [None] * 3


def test_tokens_are_counted_by_the_tokenizer_without_padding_and_with_the_end(engine):
    short, long = prompt(picture(), "a", schema=SCHEMA, max_tokens=60), prompt(picture(), "a" * 30)
    done = {len(completion.prompt.turns[0].parts[1]): completion for completion in engine.complete([short, long])}
    assert done[30].prompt_tokens - done[1].prompt_tokens == 29  # a token is a byte
    assert done[1].completion_tokens == len(done[1].text) + 1
    assert done[30].completion_tokens == 6
    assert done[1].prompt_tokens == len("USER: \na\nASSISTANT:") + 16  # and 16 for the picture


def test_an_answer_that_runs_into_its_own_limit_is_cut_and_no_other_is(engine):
    asked = [prompt(schema=SCHEMA, max_tokens=limit, ticket=limit) for limit in (1, 5, 60)]
    done = {completion.prompt.ticket: completion for completion in engine.complete(asked)}
    assert [done[limit].error_code for limit in (1, 5, 60)] == ["answer_cut", "answer_cut", None]
    assert [done[limit].completion_tokens for limit in (1, 5)] == [1, 5]
    assert done[60].text.startswith(done[5].text) and done[5].detail == "5 tokens"


def test_control_words_in_a_prompt_are_text(engine):
    (plain,) = engine.complete([prompt(picture(), "a" * 7 + "b" * 4)])
    (done,) = engine.complete([prompt(picture(), "<image></s>")])
    assert done.error_code == "answer_cut" and done.prompt_tokens == plain.prompt_tokens


def test_a_picture_that_no_processor_takes_fails_alone(engine):
    asked = [
        prompt(ticket="good"),
        prompt(np.zeros((0, 0, 3), np.uint8), "What?", ticket="empty"),
        prompt(np.zeros((9, 9), np.uint8), "What?", ticket="grey"),
        prompt(picture(seed=1), "What?", ticket="too"),
    ]
    done = {completion.prompt.ticket: completion for completion in engine.complete(asked)}
    assert [done[ticket].error_code for ticket in ("empty", "grey")] == ["tagger_refused"] * 2
    assert "(0, 0, 3)" in done["empty"].detail and done["good"].text and done["too"].text


def test_what_only_the_processor_finds_wrong_fails_alone(engine, monkeypatch):
    prepare = engine._model.prepare

    def picky(prompts, pixels):
        if any(asked.ticket == 2 for asked in prompts):
            raise ValueError("absolute aspect ratio must be smaller than 200")
        return prepare(prompts, pixels)

    monkeypatch.setattr(engine._model, "prepare", picky)
    done = {completion.prompt.ticket: completion for completion in engine.complete(prompt(ticket=n) for n in range(4))}
    assert done[2].error_code == "tagger_refused" and "aspect ratio" in done[2].detail
    assert all(done[n].text for n in (0, 1, 3))


# ---- the context


def test_a_prompt_that_leaves_no_room_for_an_answer_fails_alone(folder):
    with TransformersEngine(str(folder), Settings(context_tokens=512, model_batch=4)) as engine:
        asked = [prompt("a" * 600, ticket="long"), prompt("a", ticket="short"), prompt("a" * 460, max_tokens=70)]
        done = {completion.prompt.ticket: completion for completion in engine.complete(asked)}
        assert [done[ticket].error_code for ticket in ("long", None)] == ["context_too_small"] * 2
        assert done["long"].detail == "the prompt takes 617 of 512 tokens" and done["short"].completion_tokens == 6
        with pytest.raises(
            TaggerError, match=r"doesn't fit: the prompt takes 617 of 512 tokens\. say with SHOTLOG_CONTEXT"
        ):
            list(engine.stream(asked[0]))


def test_an_answer_may_be_shorter_than_allowed_where_the_context_ends(folder):
    with TransformersEngine(str(folder), Settings(context_tokens=512)) as engine:
        held, free = prompt("a" * 400, schema=SCHEMA, max_tokens=1024), prompt("a" * 400, max_tokens=1024)
        done = {completion.prompt.schema: completion for completion in engine.complete([held, free])}
    assert json.loads(done[SCHEMA].text) and done[SCHEMA].error_code is None
    assert done[None].error_code == "context_too_small" and done[None].completion_tokens == 512 - 417


# ---- how it takes the stream


def test_a_batch_runs_when_it_is_full_at_none_and_at_the_end(engine, batches):
    taken = []

    def stream():
        for n in range(7):
            taken.append(n)
            yield prompt(ticket=n)
            if n == 5:
                yield None
                yield None

    completions = engine.complete(stream())
    assert not taken
    next(completions)
    assert (len(taken), batches) == (4, [4])
    assert len(list(completions)) == 6 and batches == [4, 2, 1]


def test_prompts_with_pictures_and_without_have_batches_of_their_own(engine, batches):
    asked = [prompt() if n % 2 else prompt("Hello") for n in range(6)]
    assert len(list(engine.complete(asked))) == 6 and batches == [3, 3]


def test_closed_early_it_leaves_no_thread(engine):
    before = set(threading.enumerate())
    completions = engine.complete(prompt() for _ in range(100))
    next(completions)
    completions.close()
    assert set(threading.enumerate()) == before


def test_what_breaks_the_stream_reaches_the_caller(engine):
    def broken():
        yield prompt()
        raise OSError("the store is on fire")

    with pytest.raises(OSError, match="on fire"):
        list(engine.complete(broken()))


# ---- memory: no GPU is here, so the model itself says that it has none


@pytest.fixture
def small(engine, monkeypatch):
    """Let the model run out of memory with more than `most` prompts at once; what it was asked for."""
    sizes, generate = [], engine._model.model.generate
    monkeypatch.setattr(transformers, "_fits", {})

    def limited(most):
        def refusing(**inputs):
            sizes.append(len(inputs["input_ids"]))
            if sizes[-1] > most:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return generate(**inputs)

        monkeypatch.setattr(engine._model.model, "generate", refusing)
        return sizes

    return limited


def test_out_of_memory_halves_the_batch_for_good_and_says_so_once(engine, small, caplog):
    sizes = small(1)
    with caplog.at_level(logging.WARNING, logger="pipeline"):
        asked = [prompt(ticket=n) for n in range(6)]
        first, second = list(engine.complete(asked)), list(engine.complete(asked))
    assert {completion.prompt.ticket for completion in first} == set(range(6)) and all(done.text for done in first)
    assert sizes == [4, 2] + [1] * 12 and texts(first) == texts(second)
    assert [record.message for record in caplog.records] == [
        "4 frames of model tiny-llava at once don't fit in memory: going on with fewer. Set SHOTLOG_MODEL_BATCH=2"
    ]


def test_a_frame_that_does_not_fit_alone_is_its_own_failure(engine, small):
    small(0)
    completions = list(engine.complete([prompt(), prompt()]))
    assert [completion.error_code for completion in completions] == ["out_of_memory"] * 2
    assert "out_of_memory" in CODES and "2.00 GiB" in completions[0].detail
    with pytest.raises(TaggerError, match="lower SHOTLOG_MAX_PIXELS"):
        list(engine.stream(prompt()))


def test_a_gpu_that_has_failed_ends_the_run(engine, monkeypatch):
    def broken(**_):
        raise torch.AcceleratorError("device-side assert triggered")

    monkeypatch.setattr(engine._model.model, "generate", broken)
    with pytest.raises(TaggerError, match=r"the GPU failed .*device-side assert.* start again"):
        list(engine.complete([prompt(), prompt()]))


# ---- one answer, piece by piece


def test_an_answer_is_streamed_as_it_would_be_completed(engine):
    asked = prompt(max_tokens=30)
    (whole,) = engine.complete([asked])
    assert "".join(engine.stream(asked)) == whole.text


def test_what_was_streamed_is_returned_whole_and_counted(engine):
    asked = prompt(max_tokens=12)
    (whole,) = engine.complete([asked])
    streamed = returned(engine.stream(asked))
    for each in (whole, streamed):
        assert (each.error_code, each.completion_tokens) == ("answer_cut", 12)
    assert (streamed.text, streamed.prompt_tokens) == (whole.text, whole.prompt_tokens)


def test_a_temperature_leaves_more_to_chance(engine):
    def answers(temperature):
        asked = replace(prompt(max_tokens=16), temperature=temperature)
        return {returned(engine.stream(asked)).text for _ in range(4)}

    torch.manual_seed(7)
    assert len(answers(0.0)) == 1 and len(answers(5.0)) > 1


def test_a_stream_that_is_closed_early_stops_the_model_and_its_thread(engine, batches):
    before, asked = set(threading.enumerate()), prompt(max_tokens=5000)
    pieces = engine.stream(asked)
    assert next(pieces)
    pieces.close()
    assert set(threading.enumerate()) == before
    assert batches == [1] and batches.written[0] < 2500 and len(list(engine.complete([prompt()]))) == 1


def test_a_stream_that_is_left_open_ends_with_the_engine(folder):
    before = set(threading.enumerate())
    with TransformersEngine(str(folder), Settings(dtype="bfloat16")) as engine:
        pieces = engine.stream(prompt(max_tokens=5000))
        next(pieces)
    assert set(threading.enumerate()) == before
    pieces.close()


def test_what_breaks_while_streaming_reaches_the_caller(engine, monkeypatch):
    def broken(**_):
        raise ValueError("no such thing")

    monkeypatch.setattr(engine._model.model, "generate", broken)
    with pytest.raises(TaggerError, match=r"gave no answer \(ValueError: no such thing\)"):
        list(engine.stream(prompt()))
    with pytest.raises(TaggerError, match="can't be asked: a picture of shape"):
        list(engine.stream(prompt(np.zeros((0, 0, 3), np.uint8), "What?")))


# ---- what depends on the family


def test_a_template_without_a_system_turn_gets_its_words_in_the_first(another):
    turns = (Turn("system", ("Be brief.",)), Turn("user", (picture(), "What?")))
    template = (another / "chat_template.jinja").read_text()
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + template
    lengths = []
    for text in (template, refusing):
        (another / "chat_template.jinja").write_text(text)
        with TransformersEngine(str(another), Settings()) as engine:
            (done,) = engine.complete([Prompt(turns, 2)])
        lengths.append(done.prompt_tokens)
    assert lengths[0] - lengths[1] == len("SYSTEM: \n") - len("\n\n")
