"""What things of the toy world are called: a small grammar with synonyms.

The first name of each thing is its plain one and comes more often than the others.
"""

from dataclasses import dataclass

import numpy as np

SHAPES = {
    "ball": ("ball", "sphere"),
    "arch": ("arch", "bridge", "gate"),
    "cone": ("cone", "pyramid"),
    "ring": ("ring", "hoop", "donut"),
    "cross": ("cross", "plus"),
    "plank": ("plank", "board"),
    "pillar": ("pillar", "post", "column"),
    "cup": ("cup", "mug"),
}
COLOURS = {
    "red": ("red", "crimson"),
    "orange": ("orange", "tangerine"),
    "yellow": ("yellow", "golden"),
    "green": ("green", "emerald"),
    "blue": ("blue", "navy"),
    "purple": ("purple", "violet"),
    "white": ("white", "snowy"),
    "black": ("black", "dark"),
}
ACTIONS = {  # {} is the object
    "slide": ("slide {} across", "push {} from side to side", "move {} sideways"),
    "bounce": ("bounce {} up and down", "toss {} in the air"),
    "spin": ("spin {} around", "rotate {}", "turn {} round"),
    "stir": ("stir {} with a spoon", "mix {} with a spoon"),
    "pour": ("pour water over {}", "rinse {} with water"),
    "cut": ("cut {} in half", "slice {} in two", "chop {} apart"),
    "stack": ("stack {} on top of another", "pile {} up"),
    "grow": ("make {} grow", "blow {} up bigger"),
    "vanish": ("make {} vanish", "let {} disappear", "fade {} out"),
    "shake": ("shake {} hard", "rattle {}", "jiggle {}"),
}
SIZES = {"small": ("small", "little"), "big": ("big", "large")}
TEXTURES = {"plain": (), "striped": ("striped",), "dotted": ("dotted", "spotted")}

PLAIN = 0.6  # how often a thing has its plain name
OPENINGS = (
    ("okay so now", "now", "next", "and then", "alright", "so", "first of all", "um okay", "then uh"),
    ("we", "you", "I", "let's", "we're going to", "you want to", "I'm going to", "go ahead and", "just"),
)
FOLLOWING = (
    "keep going, {} like this",
    "you just {} nice and slowly",
    "see how we {} here",
    "yeah {} until it looks good",
    "and we {} a bit more",
)
FILLERS = (
    "this is my favourite part",
    "don't worry if it takes a while",
    "uh what else, okay",
    "my grandmother taught me that",
    "it really is that easy",
    "you know, take your time",
    "if you like this please subscribe",
)


@dataclass(frozen=True)
class Thing:
    """An object of the world.

    Attributes:
        shape: a key of SHAPES.
        colour: a key of COLOURS.
        size: a key of SIZES.
        texture: a key of TEXTURES.
    """

    shape: str
    colour: str
    size: str
    texture: str


def sentence(action: str, thing: Thing, rng: np.random.Generator) -> str:
    """Say what is done to which object, as an annotator writes it.

    Args:
        action: a key of ACTIONS.
        thing: what it is done to.
        rng: draws the words.

    Returns:
        For example ``"slice the striped red ball in two"``: action, colour and shape are always in it.
    """
    return verb_phrase(action, noun_phrase(thing, rng), rng)


def plain_step(action: str) -> str:
    """Say what is done, whatever the object.

    Args:
        action: a key of ACTIONS.

    Returns:
        For example ``"cut it in half"``.
    """
    return ACTIONS[action][0].format("it")


def spoken(action: str, thing: Thing, rng: np.random.Generator) -> list[str]:
    """Say a step as a narrator does.

    Args:
        action: a key of ACTIONS.
        thing: what it is done to.
        rng: draws the words, and how much is said.

    Returns:
        Lines: the first names action, colour and shape; others say less, or nothing.
    """
    opening = " ".join(part for words in OPENINGS if (part := _pick(words, rng) if rng.random() < 0.7 else ""))
    lines = [f"{opening} {verb_phrase(action, noun_phrase(thing, rng), rng)}".strip()]
    if rng.random() < 0.6:
        again = "it" if rng.random() < 0.5 else f"this {_name(SHAPES[thing.shape], rng)}"
        lines.append(_pick(FOLLOWING, rng).format(verb_phrase(action, again, rng)))
    if rng.random() < 0.25:
        lines.append(_pick(FILLERS, rng))
    return lines


def noun_phrase(thing: Thing, rng: np.random.Generator) -> str:
    """Name an object.

    Args:
        thing: the object.
        rng: draws the words.

    Returns:
        For example ``"the big striped red ball"``; size and texture are often left out.
    """
    words = [_pick(("the", "the", "this", "a"), rng)]
    if rng.random() < 0.25:
        words.append(_name(SIZES[thing.size], rng))
    if TEXTURES[thing.texture] and rng.random() < 0.4:
        words.append(_name(TEXTURES[thing.texture], rng))
    return " ".join([*words, _name(COLOURS[thing.colour], rng), _name(SHAPES[thing.shape], rng)])


def verb_phrase(action: str, phrase: str, rng: np.random.Generator) -> str:
    """Say that something is done to an object.

    Args:
        action: a key of ACTIONS.
        phrase: the object in words.
        rng: draws the words.

    Returns:
        For example ``"rotate the red ball"``.
    """
    return _name(ACTIONS[action], rng).format(phrase)


def _name(names: tuple[str, ...], rng: np.random.Generator) -> str:
    if len(names) == 1 or rng.random() < PLAIN:
        return names[0]
    return _pick(names[1:], rng)


def _pick(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
