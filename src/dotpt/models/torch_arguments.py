"""The arguments of a model's constructor: values in, plain JSON out (`spell`), and the way back (`ArgumentReader`).

A value that JSON has is itself. Others are objects with one key, the tag (`dotpt.formats.architecture.TAGS`). Classes,
functions and the members of an enumeration are written as the name that leads to them. On the way back such a name is
text until the caller's ``resolve`` gives the object for it: nothing here imports anything.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import functools
import json
import pathlib
import sys
import types
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import isfinite
from typing import Any

import torch

from dotpt.container.jsontext import is_text
from dotpt.errors import CannotDescribe, DotptError, ManifestError
from dotpt.formats.architecture import TAGS

# (module, qualified name) -> the class or function.
Resolve = Callable[[str, str], Any]
# A module that is an argument -> what its own constructor was given.
Describe = Callable[[torch.nn.Module, str], tuple[list[Any], dict[str, Any]]]

_DIGITS = 38
_DEPTH = 40
_HINT = (
    "init= takes numbers, texts, lists, dictionaries, types and devices of torch, classes, functions and dataclasses"
)
_NAMESPACES = {"argparse": Namespace, "types": types.SimpleNamespace}
_TYPES = tuple(type(value) for value in (torch.float32, torch.device("cpu"), torch.Size()))
# Where functions written in C are found that do not say where they are at home.
_HOMES = ("torch", "torch.nn.functional", "builtins", "math")


class Speller:
    """Writes the arguments of one model.

    Args:
        describe: gives the arguments of a module that is an argument itself.
    """

    def __init__(self, describe: Describe) -> None:
        self._describe = describe
        self._modules: set[int] = set()

    def spell(self, value: Any, place: str, depth: int = 0) -> Any:
        """``value`` in JSON.

        Args:
            place: the argument, for errors: ``width``, ``blocks[2].act``.

        Raises:
            CannotDescribe: it has no spelling; ``key`` is the place.
        """
        if depth > _DEPTH:
            raise CannotDescribe(f"An argument nests deeper than {_DEPTH} levels.", key=place, hint=_HINT)
        if value is None or type(value) is bool:
            return value
        if type(value) in (int, float, str):
            return _scalar(value, place)
        if type(value) is list:
            return self._all(value, place, depth)
        if type(value) is dict and all(type(key) is str and not key.startswith("$") for key in value):
            return {_text(key, place): self.spell(v, f"{place}.{key}", depth + 1) for key, v in value.items()}
        tag, content = self._tagged(value, place, depth + 1)
        return {tag: content}

    def _all(self, values: Any, place: str, depth: int) -> list[Any]:
        return [self.spell(item, f"{place}[{at}]", depth + 1) for at, item in enumerate(values)]

    def _tagged(self, value: Any, place: str, depth: int) -> tuple[str, Any]:
        if type(value) in (dict, OrderedDict):
            pairs = [self._all(pair, f"{place}.{pair[0]!r:.40}", depth + 1) for pair in value.items()]
            return "$dict" if type(value) is dict else "$ordereddict", pairs
        if type(value) in (set, frozenset):
            spelled = [self.spell(item, place, depth + 1) for item in value]
            return f"${type(value).__name__}", sorted(spelled, key=lambda item: json.dumps(item, sort_keys=True))
        if type(value) in _TYPES:
            return _of_torch(value)
        if type(value) is tuple:
            return "$tuple", self._all(value, place, depth)
        if type(value) in (bytes, complex, range, slice) or isinstance(value, pathlib.PurePath):
            return self._of_python(value, place, depth)
        if isinstance(value, torch.nn.Module):
            return "$module", self._module(value, place, depth)
        if isinstance(value, functools.partial):
            inner = {name: self.spell(item, f"{place}.{name}", depth + 1) for name, item in value.keywords.items()}
            return "$partial", [self.spell(value.func, place, depth), self._all(value.args, place, depth), inner]
        if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            return "$name", name_of(value, place)
        return self._of_class(value, place, depth)

    def _of_python(self, value: Any, place: str, depth: int) -> tuple[str, Any]:
        if isinstance(value, bytes):
            return "$bytes", base64.b64encode(value).decode()
        if isinstance(value, complex):
            return "$complex", self._all((value.real, value.imag), place, depth)
        if isinstance(value, (range, slice)):
            return f"${type(value).__name__}", self._all((value.start, value.stop, value.step), place, depth)
        return "$path", _text(str(value), place)

    def _of_class(self, value: Any, place: str, depth: int) -> tuple[str, Any]:
        """A value whose class the user has defined."""
        owner = type(value)
        if isinstance(value, enum.Enum) and value.name in owner.__members__:
            return "$enum", [name_of(owner, place), value.name]
        if dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value) if field.init]
            fields = {name: self.spell(getattr(value, name), f"{place}.{name}", depth + 1) for name in names}
            return "$dataclass", [name_of(owner, place), fields]
        if isinstance(value, tuple) and hasattr(owner, "_fields"):
            return "$namedtuple", [name_of(owner, place), self._all(value, place, depth)]
        for home, known in _NAMESPACES.items():
            if owner is known:
                return "$namespace", [home, self.spell(vars(value), place, depth)]
        more = "give its values, and let the constructor build it; " if not isinstance(value, torch.Tensor) else ""
        raise CannotDescribe(
            f"An argument is of the type {owner.__module__}.{owner.__qualname__}, which the record cannot hold.",
            key=place,
            found=owner,
            hint=more + _HINT,
        )

    def _module(self, module: torch.nn.Module, place: str, depth: int) -> list[Any]:
        if id(module) in self._modules and next(module.parameters(), None) is not None:
            raise CannotDescribe(
                "A module is passed twice: built from the record it would be two, whose weights are not shared.",
                key=place,
                hint="a function that builds the model, passed to dotpt.load_model(path, factory), keeps them one",
            )
        self._modules.add(id(module))
        args, kwargs = self._describe(module, place)
        named = {name: self.spell(item, f"{place}.{name}", depth + 1) for name, item in kwargs.items()}
        return [name_of(type(module), place), self._all(args, place, depth), named]


def _scalar(value: Any, place: str) -> Any:
    if type(value) is str:
        return _text(value, place)
    if type(value) is float and not isfinite(value):
        return {"$float": repr(value)}
    if type(value) is int and abs(value) >= 10**_DIGITS:
        return {"$int": hex(value)}
    return value


def _text(text: str, place: str) -> str:
    if not is_text(text):
        raise CannotDescribe("An argument holds a text with half a character in it.", key=place, found=ascii(text))
    return text


def _of_torch(value: Any) -> tuple[str, Any]:
    if isinstance(value, torch.dtype):
        return "$dtype", str(value).removeprefix("torch.")
    if isinstance(value, torch.device):
        return "$device", str(value)
    return "$size", list(value)


def name_of(value: Any, place: str) -> str:
    """``module:name`` of a class or a function.

    Raises:
        CannotDescribe: no name leads to it: a lambda, something defined in a function.
    """
    short = str(getattr(value, "__name__", ""))
    name = str(getattr(value, "__qualname__", None) or short)
    for home, spelling in ((getattr(value, "__module__", None), name), *((home, short) for home in _HOMES)):
        if isinstance(home, str) and spelling and found_here(home, spelling) is value:
            return f"{home}:{spelling}"
    raise CannotDescribe(
        f"An argument is {name or type(value).__name__}, and no name of a module leads to it.",
        key=place,
        found=value,
        hint="define it at the top of a module, or pass the name of it and let the constructor choose",
    )


def found_here(module: str, name: str) -> Any:
    """What a module that is imported has under a dotted name; None if there is nothing."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


# -- and back ---------------------------------------------------------------------------------------------------------


def names_in(spelled: Any) -> Iterator[tuple[str, str]]:
    """Every (module, name) that must be resolved to read these arguments, in their order.

    Raises:
        ManifestError: something in them that is no spelling.
    """
    if isinstance(spelled, list):
        for item in spelled:
            yield from names_in(item)
    elif isinstance(spelled, dict):
        tag = next(iter(spelled), "")
        if tag == "$name":
            yield split_name(spelled[tag])
        elif tag in ("$enum", "$dataclass", "$namedtuple", "$module"):
            name, *rest = _listed(spelled[tag]) or [None]
            yield split_name(name)
            yield from names_in(rest)
        else:
            yield from names_in(list(spelled.values()))


def split_name(name: Any) -> tuple[str, str]:
    """``module:name`` as (module, name)."""
    if type(name) is not str or name.count(":") != 1 or not all(name.split(":")):
        raise _broken(f"{name!r:.60} is no name of a class or function")
    module, _, inner = name.partition(":")
    return module, inner


class ArgumentReader:
    """Makes values of what `Speller` wrote.

    Args:
        resolve: gives the class or function of a name, or refuses to.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve

    def read(self, spelled: Any) -> Any:
        """The value.

        Raises:
            ManifestError: it is no spelling of one.
        """
        if isinstance(spelled, list):
            return [self.read(item) for item in spelled]
        if not isinstance(spelled, dict):
            return spelled
        tag = next(iter(spelled), "")
        if not tag.startswith("$"):
            return {key: self.read(item) for key, item in spelled.items()}
        if len(spelled) != 1 or tag not in TAGS:
            raise _broken(f"the tag {tag!r:.40} is not known")
        try:
            return getattr(self, f"_{tag[1:]}")(spelled[tag])
        except DotptError:
            raise
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError) as error:
            raise _broken(f"{tag} cannot be read ({type(error).__name__}: {error!s:.100})") from error

    def _tuple(self, content: Any) -> Any:
        return tuple(self.read(_listed(content)))

    def _set(self, content: Any) -> Any:
        return set(self.read(_listed(content)))

    def _frozenset(self, content: Any) -> Any:
        return frozenset(self.read(_listed(content)))

    def _dict(self, content: Any) -> Any:
        return {self.read(key): self.read(value) for key, value in _listed(content)}

    def _ordereddict(self, content: Any) -> Any:
        return OrderedDict(self._dict(content))

    def _float(self, content: Any) -> float:
        return {"nan": float("nan"), "inf": float("inf"), "-inf": -float("inf")}[content]

    def _int(self, content: Any) -> int:
        return int(content, 16)

    def _complex(self, content: Any) -> complex:
        real, imaginary = self.read(_listed(content))
        return complex(real, imaginary)

    def _bytes(self, content: Any) -> bytes:
        return base64.b64decode(content, validate=True)

    def _range(self, content: Any) -> range:
        return range(*self.read(_listed(content)))

    def _slice(self, content: Any) -> slice:
        return slice(*self.read(_listed(content)))

    def _path(self, content: Any) -> pathlib.Path:
        return pathlib.Path(content)

    def _dtype(self, content: Any) -> torch.dtype:
        found = vars(torch).get(content) if type(content) is str else None  # getattr may import what it is asked for
        if not isinstance(found, torch.dtype):
            raise ValueError(f"torch has no type {content!r:.40}")
        return found

    def _device(self, content: Any) -> torch.device:
        return torch.device(content)

    def _size(self, content: Any) -> torch.Size:
        return torch.Size(_listed(content))

    def _name(self, content: Any) -> Any:
        return self._resolve(*split_name(content))

    def _enum(self, content: Any) -> Any:
        name, member = _listed(content)
        owner = self._owner(name, lambda found: issubclass(found, enum.Enum), "an enumeration")
        return owner[member]

    def _dataclass(self, content: Any) -> Any:
        name, fields = _listed(content)
        return self._owner(name, dataclasses.is_dataclass, "a dataclass")(**self.read(fields))

    def _namedtuple(self, content: Any) -> Any:
        name, values = _listed(content)
        owner = self._owner(name, lambda found: issubclass(found, tuple) and hasattr(found, "_fields"), "a named tuple")
        return owner(*self.read(values))

    def _namespace(self, content: Any) -> Any:
        home, values = _listed(content)
        return _NAMESPACES[home](**self.read(values))

    def _partial(self, content: Any) -> Any:
        function, args, kwargs = _listed(content)
        return functools.partial(self.read(function), *self.read(args), **self.read(kwargs))

    def _module(self, content: Any) -> Any:
        name, args, kwargs = _listed(content)
        owner = self._owner(name, lambda found: issubclass(found, torch.nn.Module), "a torch.nn.Module")
        return owner(*self.read(args), **self.read(kwargs))

    def _owner(self, name: Any, fits: Callable[[Any], bool], kind: str) -> Any:
        found = self._resolve(*split_name(name))
        if not isinstance(found, type) or not fits(found):
            raise _broken(f"{name!r:.60} is not {kind}")
        return found


def _listed(content: Any) -> list[Any]:
    if type(content) is not list:
        raise _broken(f"a {type(content).__name__} stands where a list has to")
    return content


def _broken(what: str) -> ManifestError:
    return ManifestError(
        f"The constructor's arguments in the file are not what dotpt writes: {what}.",
        hint="init={...} in the call takes the place of recorded arguments of these names",
    )
