"""One spelling for one label: lower case, single blanks, singular, so that "Traffic-Lights" and "traffic light" meet.

The singular comes from rules and short lists, not from a dictionary package: what decides is that a word which is
singular already stays whole (bus, tennis, lens), and a plural left alone does less harm than a word nobody knows.
Change a line and add 1 to model.ANSWER_SCHEMA: other labels make earlier taggings stale.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 100
"""Characters of a label; what is longer is cut at a blank."""

UNKNOWN = frozenset({
    "", "unknown", "none", "n/a", "na", "null", "nil", "not applicable", "not available", "not visible", "unclear",
    "undefined", "unspecified", "unidentified", "nothing", "no one", "nobody",
})  # fmt: skip
"""What a model writes where it saw nothing: no label."""

_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—−", "-") | {"_": " ", "’": "'"})
_LEADING = " .,;:!?…*•#\"“”„'`-、。·"
_TRAILING = " .,;:!?…*•\"“”„'`-、。·"

# Words that end like a plural and are none, or have no singular that anyone would search for.
_UNCHANGED = frozenset({
    "alps", "always", "angeles", "aries", "asbestos", "athens", "atlas", "bahamas", "barracks", "bellows", "bias",
    "biceps", "billiards", "binoculars", "briefs", "brussels", "canvas", "chaos", "checkers", "christmas",
    "clothes", "corps", "cosmetics", "cosmos", "crossroads", "cyclops", "dungarees", "eyeglasses", "forceps",
    "gallows", "gas", "glasses", "goggles", "hades", "handcuffs", "headphones", "headquarters", "hercules",
    "herpes", "iris", "jeans", "kansas", "kudos", "leggings", "lens", "mars", "maths", "means", "mercedes", "moses",
    "netherlands", "news", "nicholas", "orleans", "outskirts", "overalls", "pajamas", "pancreas", "panties",
    "pants", "papyrus", "pathos", "pliers", "premises", "pyjamas", "rabies", "remains", "rhinoceros", "rhodes",
    "scabies", "scissors", "series", "shears", "shorts", "species", "spectacles", "states", "sunglasses",
    "surroundings", "sweepstakes", "texas", "thanks", "thermos", "tights", "tongs", "triceps", "triceratops",
    "trousers", "tweezers", "undies", "vegas", "wales", "whereabouts", "yes", "abdomen", "acumen", "amen",
    "bitumen", "cyclamen", "hymen", "omen", "ramen", "regimen", "semen", "specimen", "stamen", "yemen",
})  # fmt: skip

_IRREGULAR = {
    "aches": "ache", "aloes": "aloe", "avalanches": "avalanche", "axes": "axe", "bacteria": "bacterium",
    "bikinis": "bikini", "cacti": "cactus", "caches": "cache", "canoes": "canoe", "canvases": "canvas",
    "comics": "comic", "crises": "crisis", "emus": "emu", "excuses": "excuse", "feet": "foot", "fungi": "fungus",
    "fuses": "fuse", "gases": "gas", "geese": "goose", "gnus": "gnu", "gurus": "guru", "headaches": "headache",
    "horseshoes": "horseshoe", "irises": "iris", "kiwis": "kiwi", "lenses": "lens", "lice": "louse", "menus": "menu",
    "mice": "mouse", "moustaches": "moustache", "muses": "muse", "mustaches": "mustache", "niches": "niche",
    "oases": "oasis", "oboes": "oboe", "oxen": "ox", "people": "person", "quizzes": "quiz", "safaris": "safari",
    "olives": "olive", "shoes": "shoe", "skis": "ski", "snowshoes": "snowshoe", "taxis": "taxi", "teeth": "tooth",
    "trellises": "trellis", "tutus": "tutu",
}  # fmt: skip

_ENDINGS = {
    "children": "child", "wolves": "wolf", "leaves": "leaf", "knives": "knife", "loaves": "loaf", "shelves": "shelf",
    "calves": "calf", "hooves": "hoof", "scarves": "scarf", "thieves": "thief", "wives": "wife", "lives": "life",
    "elves": "elf", "halves": "half", "wharves": "wharf", "men": "man",
}  # fmt: skip
"""Also in compounds: firemen, bookshelves, grandchildren."""

_WITH_E = frozenset({
    "birdies", "brownies", "calories", "collies", "cookies", "eyries", "foodies", "genies", "groupies", "hippies",
    "hoodies", "junkies", "movies", "pixies", "prairies", "rookies", "selfies", "smoothies", "sorties", "veggies",
    "zombies",
})  # fmt: skip
"""-ies of -ie, not of -y."""


def normal(label: str, *, nouns: bool = True) -> str:
    """The one spelling of a label, at most LONGEST characters; '' where nothing is left.

    nouns: whether it names things, so that its last word goes to the singular. An action keeps it (playing cards).
    Twice is the same as once.

    >>> [normal(label) for label in (" Traffic-Lights.", "T-shirts", "people", "tennis", "#Sunset")]
    ['traffic light', 't-shirt', 'person', 'tennis', 'sunset']
    """
    visible = "".join(
        char for char in label.translate(_DASHES) if char.isspace() or unicodedata.category(char)[0] != "C"
    )
    text = _stripped(_cut(_stripped(" ".join(unicodedata.normalize("NFC", visible.lower()).split()))))
    text = " ".join(map(_parted, text.split(" ")))
    single = _singular(text) if nouns else text
    return single if len(single) <= LONGEST else text


def is_unknown(label: str) -> bool:
    """Whether a normal label says that there is none."""
    return label in UNKNOWN


def _stripped(text: str) -> str:
    return text.lstrip(_LEADING).rstrip(_TRAILING)


def _cut(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST + 1].rpartition(" ")[0] or text[:LONGEST]


def _parted(word: str) -> str:
    """A hyphen is a blank between whole words (traffic-light), and stays beside a letter or a number (x-ray)."""
    parts = word.split("-")
    return " ".join(parts) if all(sum(map(str.isalpha, part)) > 1 for part in parts) else word


def _singular(text: str) -> str:
    before, blank, last = text.rpartition(" ")
    head, hyphen, noun = last.rpartition("-")
    single = _singular_word(noun)
    return text if single == noun else _singular(f"{before}{blank}{head}{hyphen}{single}")  # mens → men → man


def _singular_word(word: str) -> str:
    if word in _UNCHANGED or not re.fullmatch(r"[a-z]{3,}", word):
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    for plural, single in _ENDINGS.items():
        if word.endswith(plural):
            return word.removesuffix(plural) + single
    # the ends of singulars: dress, circus, tennis, gymnastics
    if len(word) == 3 or not word.endswith("s") or word.endswith(("ss", "us", "is", "ics")):
        return word
    if word.endswith("ies") and len(word) > 4 and word not in _WITH_E:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes")):
        return word[:-2]
    if word.endswith("uses") and not word.endswith(("auses", "ouses")):  # buses, not houses
        return word[:-2]
    if word.endswith("oes") and len(word) > 4:  # tomatoes, not toes
        return word[:-2]
    return word[:-1]
