"""How the names and shapes of a family are written in its table, and how they are compared with real ones.

A name of the table stands for every name that differs from it in numbers only: ``layer1.0.conv1.weight`` also stands
for ``layer4.2.conv3.weight``, and both have the template ``layer#.#.conv#.weight``. Braces are alternatives, and
``*`` is any text, dots included. Behind a name may stand its shape: ``fc.weight [classes, hidden]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

Size = tuple[int, str]  # a factor, and the word that it is a factor of ("" for a plain number; 0 for any size)

#: Braces with a known word in them: the parts of layers that everybody has.
WORDS = {
    "wb": ("weight", "bias"),
    "bn": ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"),
}
_NUMBER = re.compile("[0-9]+")
_SHAPED = re.compile(r"(\S+?)(?:\s*\[(.*)\])?")
_SIZE = re.compile(r"(?:(\d+)\*)?([a-z_]\w*)|(\d+)|\?")
_BRACES = re.compile(r"\{([^{}]*)\}")


def template(name: str) -> str:
    """A name with ``#`` for every number in it.

    Example:
        >>> template("layer1.0.conv2.weight")
        'layer#.#.conv#.weight'
    """
    return _NUMBER.sub("#", name)


def templates(names: Iterable[str]) -> list[str]:
    """The templates of many names, in their order."""
    names = list(names)
    found = _NUMBER.sub("#", "\n".join(names)).split("\n")  # several times faster than one call for each
    return found if len(found) == len(names) else [template(name) for name in names]


def expand(pattern: str) -> list[str]:
    """The names that the braces of a pattern stand for.

    Raises:
        ValueError: a brace is left open, or lies in another.

    Example:
        >>> expand("fc.{wb}"), expand("{q,k}.{wb}")
        (['fc.weight', 'fc.bias'], ['q.weight', 'q.bias', 'k.weight', 'k.bias'])
    """
    pieces = _BRACES.split(pattern)
    if any(mark in piece for piece in pieces for mark in "{}"):
        raise ValueError(f"{pattern!r} has a brace that is left open, or lies in another")
    choices = [WORDS.get(piece, piece.split(",")) if at % 2 else [piece] for at, piece in enumerate(pieces)]
    return ["".join(chosen) for chosen in product(*choices)]


@dataclass(frozen=True, slots=True)
class Shaped:
    """A name that a family has, and what its shape tells.

    Attributes:
        name: as it stands in the file, beneath where the network begins; may have ``*``.
        sizes: of each dimension; None where the shape tells nothing.
        open: whether more dimensions may follow.
    """

    name: str
    sizes: tuple[Size, ...] | None
    open: bool = False

    @classmethod
    def parse(cls, text: str) -> Shaped:
        """The record of ``name`` or ``name [size, size]``.

        A size is a number, ``?`` for any, a word for one that is measured, or a multiple of a word (``3*hidden``);
        ``...`` at the end is any more of them.

        Raises:
            ValueError: the text is neither.

        Example:
            >>> Shaped.parse("qkv.weight [3*hidden, hidden]").sizes
            ((3, 'hidden'), (1, 'hidden'))
        """
        found = _SHAPED.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no name with a shape")
        name, text = found.groups()
        if text is None:
            return cls(name, None)
        sizes = [size.strip() for size in text.split(",") if size]
        more = sizes[-1:] == ["..."]
        return cls(name, tuple(map(_size, sizes[:-1] if more else sizes)), more)

    def fits(self, shape: Sequence[int], measured: dict[str, int]) -> dict[str, int] | None:
        """What a shape adds to what was measured; None if it contradicts the sizes, or what was measured before.

        Example:
            >>> Shaped.parse("fc.weight [classes, hidden]").fits((10, 512), {"hidden": 512})
            {'hidden': 512, 'classes': 10}
        """
        if self.sizes is None:
            return measured
        if len(shape) < len(self.sizes) or (len(shape) > len(self.sizes) and not self.open):
            return None
        measured = dict(measured)
        for have, (factor, word) in zip(shape, self.sizes, strict=False):
            if not word:
                if factor not in (0, have):
                    return None
            elif have % factor or measured.setdefault(word, have // factor) != have // factor:
                return None
        return measured


def _size(text: str) -> Size:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no size")
    factor, word, number = found.groups()
    if word is not None:
        return int(factor or 1), word
    return int(number or 0), ""


def wild(pattern: str) -> re.Pattern[str]:
    """What a pattern with ``*`` stands for.

    Example:
        >>> bool(wild("*.lora_A.weight").fullmatch("a.b.lora_A.weight"))
        True
    """
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))


@dataclass(frozen=True, slots=True)
class Count:
    """How many different numbers stand at a place in the names: blocks, layers, experts.

    Attributes:
        places: names as far as the number, which is the last ``#`` of each: ``encoder.layer.#``.
    """

    places: tuple[str, ...]

    def of(self, names: Iterable[str]) -> str | int | None:
        """The count; of several places their counts with dashes between; None if no name is like that.

        Example:
            >>> Count(("layer1.#", "layer2.#")).of(["layer1.0.w", "layer1.1.w", "layer2.0.w"])
            '2-1'
        """
        names = list(names)
        counts = [len(set(_numbers(place, names))) for place in self.places]
        if not any(counts):
            return None
        return counts[0] if len(counts) == 1 else "-".join(map(str, counts))


def _numbers(place: str, names: list[str]) -> Iterator[str]:
    *before, last, after = place.split("#")
    start = r"\d+".join(map(re.escape, [*before, last]))
    end = re.escape(after) if after else r"(?!\d)"
    pattern, begin = re.compile(rf"{start}(\d+){end}"), place.partition("#")[0]
    for name in names:
        if name.startswith(begin):
            found = pattern.match(name)
            if found is not None:
                yield found[1]
