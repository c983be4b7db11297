"""What names a media object in a text, and what only begins or ends as its name does."""

import json

import pytest

from pipeline.lake.mentions import Mentions
from pipeline.uris import media_id

ID = "0123456789abcdef0123456789abcdef"
OF = Mentions({ID: "/in/1.png", "f" * 32: None})


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ({"sources": ["/in/1.png", "/in/"]}, {"sources": ["(forgotten)", "/in/"]}),
        ({"media": [ID, "f" * 32, "e" * 32]}, {"media": ["(forgotten)", "(forgotten)", "e" * 32]}),
        ({"error": "'/in/1.png' can't be read."}, {"error": "'(forgotten)' can't be read."}),
        ({"error": "no /in/1.png."}, {"error": "no (forgotten)."}),
        (
            {"error": f"'/lake/work/r/journal/{ID}.json' is full"},
            {"error": "'/lake/work/r/journal/(forgotten).json' is full"},
        ),
        ({ID: 1}, {"(forgotten)": 1}),
        *[
            ({key: f"/in/1.png {why}"}, {key: f"(forgotten) {why}"})
            for key, why in (
                ("error", "takes more than the whole budget of 1 EUR"),
                ("error", "takes more than the whole budget of 0.5"),
                ("error", "isn't /in/1.png.old.png"),
                ("note", "and what else there is"),
            )
        ],
        ({"note": "Error: /in/1.png"}, {"note": "Error: (forgotten)"}),
        (
            {"refused": [["/in/1.png", "unreadable", "/in/1.png holds no picture"], ["/in/1.png 2.png", "", ""]]},
            {"refused": [["(forgotten)", "unreadable", "(forgotten) holds no picture"], ["/in/1.png 2.png", "", ""]]},
        ),
        *[
            (told, told)
            for told in (
                {"sources": ["/in/1.png.old.png", "/in/1.png copy.png", "/all/in/1.png", "/in/1.pngs"]},
                {"sources": ["/in/1.png copies/", "/all /in/1.png", "s3://b /in/1.png"]},
                {"error": "/in/1.png.old.png is no picture", "uri": "/in/1.png.old.png"},
                {"error": "'/in/1.png.old.png' and '/all/in/1.png' and /in/1.png-2 can't be read"},
                {"numbers": [1, 2.5, None, True]},
            )
        ],
    ],
)
def test_names_are_told_from_what_looks_like_them(told, left):
    text = json.dumps(told)
    assert json.loads(OF.left_of(text)) == left
    assert OF.are_in(text) == (told != left)
    assert told == left or any(spelled in text for spelled in OF.spelled)


def test_what_is_no_json_is_read_as_a_sentence():
    assert OF.left_of("half of {'uri': '/in/1.png', '/in/1.png.old.png'") == (
        "half of {'uri': '(forgotten)', '/in/1.png.old.png'"
    )
    assert not Mentions({}).are_in("anything")


def test_whatever_way_json_writes_a_name():
    of = Mentions({ID: '/in/the "Müller" tape.png'})
    for escaped in (True, False):
        text = json.dumps(['/in/the "Müller" tape.png', "no '/in/the \"Müller\" tape.png' there"], ensure_ascii=escaped)
        assert json.loads(of.left_of(text)) == ["(forgotten)", "no '(forgotten)' there"]
        assert any(spelled in text for spelled in of.spelled)


@pytest.mark.parametrize("query", ["", "?v=2"])
def test_a_url_in_whatever_way_its_caller_wrote_it(query):
    url, signature = f"https://h.org/a.mp4{query}", f"{'&' if query else '?'}X-Amz-Signature=s"
    of = Mentions({media_id(url): "https://h.org/a.mp4"})
    for user in ("", "me:geheim@"):
        text = json.dumps({"asset": f"https://{user}h.org/a.mp4{query}{signature}"})
        assert json.loads(of.left_of(text)) == {"asset": "(forgotten)"}
        assert any(spelled in text for spelled in of.spelled)
    for other in ("https://h.org/a.mp4?v=3", "https://h.org:none/a.mp4", "https://[h.org/a.mp4"):
        assert not of.are_in(json.dumps({"asset": other}))
