"""What the builtin tagger's labels are called and which category each belongs to. Change a line, add 1 to VERSION.

Two vocabularies meet here: COCO's 80 object names (the detector) and ImageNet's 1000 (the classifier). A label
is lower case and singular; ImageNet's is the first of its synonyms, unless COCO has a word for the same thing
or the first synonym alone misleads (a "boxer" is a dog, a "plane" a carpenter's tool).
"""

from __future__ import annotations

from typing import Literal

VERSION = 1
"""Part of the recipe: another table makes earlier taggings stale."""

Kind = Literal["person", "animal", "object"]

# COCO's ids run to 90 with gaps: 80 of 91 planned classes were annotated.
COCO: dict[int, str] = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorcycle", 5: "airplane", 6: "bus", 7: "train", 8: "truck",
    9: "boat", 10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench",
    16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear",
    24: "zebra", 25: "giraffe", 27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase",
    34: "frisbee", 35: "ski", 36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat",
    40: "baseball glove", 41: "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle",
    46: "wine glass", 47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl", 52: "banana", 53: "apple",
    54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog", 59: "pizza", 60: "donut",
    61: "cake", 62: "chair", 63: "couch", 64: "potted plant", 65: "bed", 67: "dining table", 70: "toilet",
    72: "tv", 73: "laptop", 74: "computer mouse", 75: "remote", 76: "keyboard", 77: "cell phone",
    78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator", 84: "book", 85: "clock",
    86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair dryer", 90: "toothbrush",
}  # fmt: skip

COCO_ANIMALS = frozenset(COCO[i] for i in range(16, 26))

# ImageNet class number → name, where the first synonym misleads or another class has the same one.
_BY_NUMBER = {
    21: "kite bird", 134: "crane bird", 242: "boxer dog",
    256: "newfoundland dog", 260: "chow chow", 264: "cardigan corgi", 321: "admiral butterfly",
    322: "ringlet butterfly", 323: "monarch butterfly", 332: "angora rabbit", 371: "patas monkey",
    378: "capuchin monkey", 380: "titi monkey",
}  # fmt: skip

# First synonym → the name used here, for classes whose first synonym is unique.
_BY_NAME = {
    "bobsled": "bobsleigh", "brass": "memorial plaque", "buckeye": "horse chestnut", "bullet train": "train",
    "cab": "taxi", "cellular telephone": "cell phone", "computer keyboard": "keyboard", "ear": "ear of corn",
    "groom": "bridegroom", "hand blower": "hair dryer", "hip": "rose hip", "hotdog": "hot dog",
    "ice bear": "polar bear", "lesser panda": "red panda", "liner": "ocean liner", "mouse": "computer mouse",
    "nipple": "bottle teat", "organ": "pipe organ", "pirate": "pirate ship", "plane": "carpenter's plane",
    "racer": "race car", "remote control": "remote", "slot": "slot machine", "studio couch": "couch",
    "sunglass": "sunglasses", "switch": "electric switch", "tank": "army tank", "teddy": "teddy bear",
    "television": "tv", "web site": "website", "walking stick": "stick insect", "wing": "aircraft wing",
}  # fmt: skip

IMAGENET_ANIMALS = range(0, 398)
_IMAGENET_PEOPLE = frozenset({"ballplayer", "bridegroom", "scuba diver"})

# ImageNet class numbers that are one COCO animal: the detector's "dog" and the classifier's "beagle" agree.
_COMMON: tuple[tuple[str, tuple[range, ...]], ...] = (
    ("bird", (range(7, 25), range(80, 101), range(127, 147))),
    ("dog", (range(151, 269),)),
    ("cat", (range(281, 286),)),
    ("bear", (range(294, 298),)),
    ("horse", (range(339, 340),)),
    ("zebra", (range(340, 341),)),
    ("cow", (range(345, 346),)),
    ("sheep", (range(348, 350),)),
    ("elephant", (range(101, 102), range(385, 387))),
)

SETTINGS = frozenset({
    "alp", "altar", "apiary", "bakery", "barbershop", "barn", "boathouse", "bookshop", "butcher shop", "castle",
    "church", "cinema", "cliff", "cliff dwelling", "confectionery", "coral reef", "dam", "dock", "geyser",
    "greenhouse", "grocery store", "home theater", "lakeside", "library", "lumbermill", "monastery", "mosque",
    "palace", "patio", "pier", "planetarium", "prison", "promontory", "restaurant", "sandbar", "seashore",
    "shoe shop", "stage", "tobacco shop", "toyshop", "valley", "volcano",
})  # fmt: skip
"""Labels that say where a picture is: the only evidence of a scene that these models give."""


def imagenet_label(number: int, synonyms: str) -> str:
    """The label of an ImageNet class from its number and its comma-separated synonyms.

    >>> imagenet_label(281, "tabby, tabby cat"), imagenet_label(242, "boxer")
    ('tabby', 'boxer dog')
    """
    first = synonyms.split(",")[0].strip().lower()
    return _BY_NUMBER.get(number) or _BY_NAME.get(first, first)


def imagenet_kind(number: int, label: str) -> Kind:
    """Whether an ImageNet class is a person, an animal or a thing."""
    if number in IMAGENET_ANIMALS:
        return "animal"
    return "person" if label in _IMAGENET_PEOPLE else "object"


def common_name(number: int, label: str) -> str:
    """What everybody calls it: the COCO name a class falls under, else its own label.

    >>> common_name(281, "tabby"), common_name(291, "lion")
    ('cat', 'lion')
    """
    if label in _IMAGENET_PEOPLE:
        return "person"
    return next((name for name, numbers in _COMMON if any(number in r for r in numbers)), label)


def coco_kind(label: str) -> Kind:
    """Whether a COCO label is a person, an animal or a thing."""
    return "person" if label == "person" else "animal" if label in COCO_ANIMALS else "object"


def category_of(label: str, kind: Kind) -> str | None:
    """The category of a label; None for the few that fit none."""
    return kind if kind in ("person", "animal") else _CATEGORY.get(label)


_TABLE = {
    "building": """
        altar, apiary, bakery, bannister, barbershop, barn, beacon, bell cote, birdhouse, boathouse, bookshop,
        breakwater, butcher shop, castle, chainlink fence, church, cinema, cliff dwelling, confectionery, dam, dock,
        dome, drilling platform, fountain, greenhouse, grocery store, home theater, library, lumbermill, maze,
        megalith, memorial plaque, mobile home, monastery, mosque, obelisk, palace, patio, pedestal, picket fence,
        pier, planetarium, prison, restaurant, shoe shop, sliding door, stage, steel arch bridge, stone wall, stupa,
        suspension bridge, thatch, tile roof, tobacco shop, totem pole, toyshop, triumphal arch, turnstile, vault,
        viaduct, water tower, window screen, window shade, worm fence, yurt
    """,
    "clothing": """
        abaya, academic gown, apron, backpack, bathing cap, bearskin, bib, bikini, bolo tie, bonnet, bow tie,
        brassiere, breastplate, buckle, bulletproof vest, cardigan, chain mail, christmas stocking, cloak, clog,
        cowboy boot, cowboy hat, crash helmet, cuirass, diaper, feather boa, football helmet, fur coat, gasmask,
        gown, hair slide, handbag, handkerchief, hoopskirt, jean, jersey, kimono, knee pad, lab coat, loafer,
        maillot, mask, military uniform, miniskirt, mitten, mortarboard, neck brace, necklace, overskirt,
        oxygen mask, pajama, pickelhaube, poncho, purse, running shoe, sandal, sarong, shower cap, ski mask, sock,
        sombrero, stole, suit, suitcase, sunglasses, sweatshirt, swimming trunks, tie, trench coat, velvet,
        vestment, wallet, wig, windsor tie, wool, umbrella
    """,
    "electronics": """
        analog clock, cassette, cassette player, cd player, cell phone, clock, computer mouse, desktop computer,
        dial telephone, digital clock, digital watch, electric fan, electric switch, entertainment center,
        hair dryer, hand-held computer, hard disc, ipod, joystick, keyboard, laptop, lens cap, loudspeaker,
        microphone, modem, monitor, notebook, oscilloscope, pay-phone, photocopier, polaroid camera, printer,
        projector, radio, radio telescope, reflex camera, remote, scoreboard, screen, solar dish, space bar,
        spotlight, tape player, tripod, tv, typewriter keyboard, wall clock
    """,
    "food": """
        acorn squash, apple, artichoke, bagel, banana, bell pepper, broccoli, burrito, butternut squash, cake,
        carbonara, cardoon, carrot, cauliflower, cheeseburger, chocolate sauce, consomme, cucumber,
        custard apple, donut, dough, eggnog, espresso, fig, french loaf, granny smith, guacamole, head cabbage,
        hot dog, hot pot, ice cream, ice lolly, jackfruit, lemon, mashed potato, meat loaf, mushroom, orange,
        pineapple, pizza, plate, pomegranate, potpie, pretzel, red wine, sandwich, spaghetti squash, strawberry,
        trifle, zucchini
    """,
    "furniture": """
        barber chair, bassinet, bed, bench, bookcase, chair, chest, chiffonier, china cabinet, couch, cradle, crib,
        desk, dining table, file, folding chair, four-poster, lampshade, medicine chest, park bench, plate rack,
        pool table, potted plant, rocking chair, table lamp, throne, toilet seat, wardrobe
    """,
    "household": """
        ashcan, balloon, band aid, bath towel, bathtub, binder, book, book jacket, bottle teat, broom, bucket,
        candle, carton, comic book, crate, crossword puzzle, crutch, dishrag, doormat, envelope, face powder,
        fire screen, flagpole, fountain pen, ballpoint, hair spray, hamper, hourglass, iron, jigsaw puzzle, lighter,
        lipstick, lotion, mailbag, mailbox, matchstick, menu, mosquito net, mousetrap, packet, padlock, paintbrush,
        paper towel, pencil box, pencil sharpener, perfume, piggy bank, pill bottle, pillow, pinwheel, plastic bag,
        plunger, prayer rug, quill, quilt, radiator, rubber eraser, safe, safety pin, scissors, sewing machine,
        shoji, shopping basket, shower curtain, sink, sleeping bag, soap dispenser, space heater, sunscreen, swab,
        teddy bear, theater curtain, thimble, toilet, toilet tissue, toothbrush, tub, vacuum, vase, washbasin,
        washer, website, jack-o'-lantern, cash machine, slot machine, vending machine, pot
    """,
    "instrument": """
        accordion, acoustic guitar, banjo, bassoon, cello, chime, cornet, drum, drumstick, electric guitar, flute,
        french horn, gong, grand piano, harmonica, harp, maraca, marimba, oboe, ocarina, panpipe, pick, pipe organ,
        sax, steel drum, trombone, upright, violin, whistle
    """,
    "kitchenware": """
        barrel, beaker, beer bottle, beer glass, bottle, bottlecap, bowl, caldron, can opener, cleaver,
        cocktail shaker, coffee mug, coffeepot, corkscrew, crock pot, cup, dishwasher, dutch oven, espresso maker, fork,
        frying pan, goblet, knife, ladle, measuring cup, microwave, milk can, mixing bowl, mortar, oven, pitcher,
        pop bottle, refrigerator, rotisserie, saltshaker, soup bowl, spatula, spoon, stove, strainer, teapot,
        toaster, tray, waffle iron, water bottle, water jug, whiskey jug, wine bottle, wine glass, wok,
        wooden spoon
    """,
    "landscape": """
        alp, cliff, coral reef, geyser, lakeside, promontory, sandbar, seashore, valley, volcano
    """,
    "plant": """
        acorn, agaric, bolete, coral fungus, corn, daisy, ear of corn, earthstar, gyromitra, hay,
        hen-of-the-woods, horse chestnut, rapeseed, rose hip, stinkhorn, yellow lady's slipper
    """,
    "sport": """
        balance beam, barbell, baseball, baseball bat, baseball glove, basketball, croquet ball, dumbbell, frisbee,
        golf ball, horizontal bar, kite, maypole, parachute, parallel bars, ping-pong ball, puck, punching bag,
        racket, rugby ball, skateboard, ski, snorkel, snowboard, soccer ball, sports ball, surfboard, swing,
        tennis ball, tennis racket, volleyball
    """,
    "street": """
        fire hydrant, gas pump, manhole cover, parking meter, pole, stop sign, street sign, traffic light
    """,
    "tool": """
        abacus, barometer, binoculars, carpenter's kit, carpenter's plane, chain, chain saw, coil,
        combination lock, hammer, hatchet, hook, knot, lawn mower, letter opener, loupe, magnetic compass, nail,
        odometer, oil filter, paddle, petri dish, plow, potter's wheel, power drill, rain barrel, reel, rule, scale,
        screw, screwdriver, shovel, slide rule, spindle, stethoscope, stopwatch, stretcher, sundial, syringe, torch
    """,
    "vehicle": """
        aircraft carrier, aircraft wing, airliner, airplane, airship, ambulance, amphibian, army tank, barrow,
        beach wagon, bicycle, bicycle-built-for-two, boat, bobsleigh, bus, canoe, car, car mirror, car wheel,
        carousel, catamaran, container ship, convertible, crane, disk brake, dogsled, electric locomotive,
        fire engine, fireboat, forklift, freight car, garbage truck, go-kart, golfcart, gondola, grille, half track,
        harvester, horse cart, jeep, jinrikisha, lifeboat, limousine, minibus, minivan, model t, moped,
        motor scooter, motorcycle, mountain bike, moving van, ocean liner, oxcart, paddlewheel, passenger car,
        pickup, pirate ship, police van, race car, recreational vehicle, school bus, schooner, seat belt,
        shopping cart, snowmobile, snowplow, space shuttle, speedboat, sports car, steam locomotive, streetcar,
        submarine, taxi, thresher, tow truck, tractor, trailer truck, train, tricycle, trimaran, trolleybus, truck,
        unicycle, warplane, wreck, yawl
    """,
    "weapon": """
        assault rifle, bow, cannon, guillotine, holster, missile, projectile, revolver, rifle, scabbard, shield
    """,
}

_CATEGORY = {label.strip(): category for category, labels in _TABLE.items() for label in labels.split(",")}
