"""What has happened to the user's classes since a file was saved: objects in, a report out.

pickle sets what was saved and asks no questions: an attribute that a class has got since is simply not there, and its
first use is an `AttributeError`, days later. Here each module of a trusted class is compared to what its ``__init__``
sets today, as far as its source says so for certain. Invariants:

* nothing is run for it: the source is parsed, and attributes are looked up where they lie;
* an attribute is filled in only with what the source itself says: a literal, or the default of an argument;
* whatever is filled in, or is missing and cannot be, is reported.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dotpt.errors import ClassesChanged, readable

_PARTS = ("_parameters", "_buffers", "_modules")  # where torch.nn.Module keeps attributes of its own kinds
_REGISTER = frozenset(("register_buffer", "register_parameter", "register_module", "add_module"))
# A class that has one of these decides itself what is saved, or what it has.
_OWN_WAYS = ("__getstate__", "__setstate__", "__reduce__", "__reduce_ex__", "__getattr__", "__getattribute__",
             "__setattr__")  # fmt: skip
_LIBRARIES = ("torch", "builtins", "typing", "abc")
_PLAIN = (str, int, float, bool, bytes, complex, type(None))
_UNKNOWN = object()
_FEW = 5


@dataclass(slots=True)
class ClassChange:
    """What became of one class of the file.

    Attributes:
        name: the class that was used, module and all.
        saved_as: what the file calls it, if that is something else and the user did not say so.
        objects: how many objects lacked something.
        filled: attributes that were not in the file, and what they were given.
        missing: attributes that were not in the file, and that the objects do not have.
        gone: attributes of the file that today's class does not set; looked at only where some are missing.
    """

    name: str
    saved_as: str = ""
    objects: int = 0
    filled: dict[str, Any] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = []
        if self.saved_as:
            lines.append(f"{self.saved_as} of the file is taken to be {self.name}, which was passed in trust=")
        if self.filled:
            given = ", ".join(f"{name} (now {value!r:.60})" for name, value in self.filled.items())
            lines.append(f"{self.name} sets more today than the file has: {given}")
        if self.missing:
            lines.append(
                f"{self.name} sets {_listed(self.missing)} today, of which the file has nothing"
                + (f" (it has {_listed(self.gone)}, which today's class does not set)" if self.gone else "")
            )
        return readable("\n  ".join(lines))


class Changes:
    """Gathers the changes of one load."""

    def __init__(self) -> None:
        self._found: dict[str, ClassChange] = {}
        self._ways: dict[type, Ways | None] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def note_moved(self, saved_as: str, cls: type) -> None:
        """A class that was found under another name."""
        self._of(cls).saved_as = saved_as

    def note_filled(self, cls: type, filled: dict[str, Any]) -> None:
        """Attributes that one object has been given."""
        change = self._of(cls)
        change.filled.update(filled)
        change.objects += 1

    def look_at(self, made: Any) -> None:
        """Compare a module, all of whose state is set, to its class of today; fill in what is certain."""
        cls, own = type(made), getattr(made, "__dict__", {})
        if not all(isinstance(own.get(part), dict) for part in _PARTS):
            return
        if cls not in self._ways:
            self._ways[cls] = ways_of(cls)
        ways = self._ways[cls]
        if ways is None or not (lacking := ways.sets.keys() - _present(made, own)):
            return
        sets = ways.sets
        filled = {name: value for name in sets if name in lacking and (value := _value(sets[name])) is not _UNKNOWN}
        own.update(filled)
        if filled:
            self.note_filled(cls, filled)
        missing = tuple(name for name in sets if name in lacking and name not in filled)
        if missing:
            change = self._of(cls)
            change.objects += not filled
            change.missing = tuple(dict.fromkeys(change.missing + missing))
            change.gone = tuple(dict.fromkeys(change.gone + tuple(_gone(own, ways))))

    def warning(self, path: str) -> ClassesChanged:
        """The report, as a warning."""
        changes = tuple(self._found.values())
        lines = [f"The classes of {readable(path)} have changed since it was saved:", *(f"  {one}" for one in changes)]
        if any(change.missing for change in changes):
            lines.append("Try: set what is missing, or fit the weights into a new model: dotpt.load_into(model, path)")
        warning = ClassesChanged("\n".join(lines))
        warning.changes = changes
        return warning

    def _of(self, cls: type) -> ClassChange:
        name = f"{cls.__module__}.{cls.__qualname__}"
        return self._found.setdefault(name, ClassChange(name))


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_FEW]) + (f" and {len(names) - _FEW} more" if len(names) > _FEW else "")


def _present(made: Any, own: dict[str, Any]) -> set[str]:
    """Every attribute that an object has. Nothing is called to find out."""
    found = set(own)
    for part in _PARTS:
        found.update(own[part])
    for cls in type(made).__mro__:
        found.update(vars(cls))
    return found


def _gone(own: dict[str, Any], ways: Ways) -> Iterator[str]:
    if not ways.all_known:
        return
    for part in ("", *_PARTS):
        for name in own[part] if part else own:
            if type(name) is str and name not in ways.mentioned and not name.startswith("_") and name != "training":
                yield name


def _value(way: Any) -> Any:
    """What an attribute is set to, if that is certain; a fresh one each time."""
    if isinstance(way, ast.expr):
        return ast.literal_eval(way)
    return way


# -- what a class sets -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Ways:
    """What the ``__init__`` of a class and of those above it sets.

    Attributes:
        sets: what is set whatever the arguments are, by name: the expression of a literal, the default of an argument,
            or a marker for what is not known.
        mentioned: whatever may be set.
        all_known: whether nothing but `torch.nn.Module` itself lies above, so that nothing else sets more.
    """

    sets: dict[str, Any] = field(default_factory=dict)
    mentioned: set[str] = field(default_factory=set)
    all_known: bool = False


def ways_of(cls: type) -> Ways | None:
    """What a class sets; None if its source cannot be found, or it has ways of its own to be saved."""
    if any(name in vars(base) for base in cls.__mro__ if not _is_library(base) for name in _OWN_WAYS):
        return None
    found = Ways()
    for base in cls.__mro__:
        if _is_library(base):
            found.all_known = base.__name__ == "Module"
            break
        init = vars(base).get("__init__")
        if init is None:
            continue
        body = _parsed(init)
        if body is None:
            return None
        for name, way in _assignments(body, _defaults(init)):
            found.sets.setdefault(name, way)
        found.mentioned.update(found.sets, _stored(body))
        if not _goes_on(body):
            break
    return found


def _stored(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def _is_library(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in _LIBRARIES


def _parsed(function: Any) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):  # made by a program, or in an interpreter's line
        return None
    first = tree.body[0] if tree.body else None
    return first if isinstance(first, ast.FunctionDef) and first.args.args else None


def _defaults(function: Any) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):
        return {}
    return {one.name: one.default for one in parameters if isinstance(one.default, _PLAIN) or callable(one.default)
            if one.default is not inspect.Parameter.empty}  # fmt: skip


def _assignments(function: ast.FunctionDef, defaults: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """(attribute, what it is set to) of the statements that are always reached."""
    me, known = function.args.args[0].arg, dict(defaults)
    for statement in function.body:
        if not isinstance(statement, ast.FunctionDef) and any(isinstance(n, ast.Return) for n in ast.walk(statement)):
            return  # what follows is not always reached
        if isinstance(statement, ast.Expr):
            yield from _registered(statement.value, me)
            continue
        for name in _rebound(statement):
            known.pop(name, None)
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                yield from _of_target(target, statement.value, me, known)
        elif isinstance(statement, ast.AnnAssign) and statement.value is not None:
            yield from _of_target(statement.target, statement.value, me, known)


def _of_target(target: ast.expr, value: ast.expr, me: str, known: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(target, (ast.Tuple, ast.List)):
        values = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
        pairs = zip(target.elts, values, strict=True) if len(values) == len(target.elts) else ()
        if not pairs:
            yield from ((name, _UNKNOWN) for part in target.elts if (name := _attribute(part, me)))
        for part, item in pairs:
            yield from _of_target(part, item, me, known)
    elif name := _attribute(target, me):
        yield name, _way(value, known)


def _attribute(target: ast.expr, me: str) -> str:
    mine = isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == me
    return target.attr if mine and isinstance(target, ast.Attribute) else ""


def _way(value: ast.expr, known: dict[str, Any]) -> Any:
    if isinstance(value, ast.Name):
        return known.get(value.id, _UNKNOWN)
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return _UNKNOWN
    return value


def _registered(call: ast.expr, me: str) -> Iterator[tuple[str, Any]]:
    """``self.register_buffer("name", ...)`` and its like."""
    if isinstance(call, ast.Call) and _attribute(call.func, me) in _REGISTER and call.args:
        first = call.args[0]
        if isinstance(first, ast.Constant) and type(first.value) is str:
            yield first.value, _UNKNOWN


def _rebound(statement: ast.stmt) -> Iterator[str]:
    """Local names that a statement sets, whatever lies deeper in it: arguments that are no longer what was given."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _goes_on(function: ast.FunctionDef) -> bool:
    """Whether ``__init__`` calls that of the class above: ``super().__init__(...)`` or ``Base.__init__(self, ...)``."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "__init__":
            return True
    return False
