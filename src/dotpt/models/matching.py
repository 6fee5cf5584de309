"""Which tensor of a file belongs to which name of a model, and whether its shape fits.

What crosses this boundary: names and facts of both sides in; for each name in the file (as the model calls it) the
recipe of its values out. Invariant: no tensor is read, and every name of the file is in the outcome or in the report
with the reason why not. torch is not needed here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from dotpt.errors import UsageError
from dotpt.models.facts import Facts
from dotpt.models.report import FitReport
from dotpt.models.rules import Recipe, Rules
from dotpt.models.selection import Selection
from dotpt.models.wrappers import unwrap

MISMATCHED = ("error", "skip", "slice", "pad")
NO_TENSOR = "object"  # what the rules call the type of a value that is no tensor

_SHAPE = "its shape is another one"
_DEFINITE = 1000  # as many missing names get the name that is closest to them


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a tensor gets into the model's.

    Attributes:
        how: ``same``; ``single`` (one element of shape [1] for a scalar, as torch takes it); ``sliced``, ``padded``,
            ``function``; ``skip``; or ``error``.
        why: for the last two, one sentence without its full stop.
    """

    how: str
    why: str = ""


SAME = Verdict("same")


def judge(had: Facts, wanted: Facts, mismatched: Any) -> Verdict:
    """Whether a tensor of the file fits one of the model, and what is to be done if its size is another.

    Args:
        mismatched: one of `MISMATCHED`, or a function, as `dotpt.load_into` takes it.

    Example:
        >>> judge(Facts((1000, 512), "float32"), Facts((10, 512), "float32"), "slice").how
        'sliced'
    """
    if had.shape == wanted.shape:
        return SAME
    if wanted.shape == () and had.shape == (1,):
        return Verdict("single")
    if callable(mismatched):
        return Verdict("function")
    if mismatched in ("slice", "pad"):
        return _resized(had.shape, wanted.shape, mismatched)
    return Verdict("skip", _SHAPE) if mismatched == "skip" else Verdict("error", _SHAPE)


def _resized(had: tuple[int, ...], wanted: tuple[int, ...], mismatched: str) -> Verdict:
    if len(had) != len(wanted):
        return Verdict("error", f"it has {len(had)} dimensions where the model has {len(wanted)}")
    if mismatched == "slice":
        if all(one >= other for one, other in zip(had, wanted, strict=True)):
            return Verdict("sliced")
        return Verdict("error", "it is smaller than the model's, so nothing can be sliced off")
    if all(one <= other for one, other in zip(had, wanted, strict=True)):
        return Verdict("padded")
    return Verdict("error", "it is larger than the model's, so there is nothing to pad")


def check_mismatched(mismatched: Any) -> None:
    """Raise `UsageError` for a ``mismatched=`` that is not understood."""
    if callable(mismatched) or mismatched in MISMATCHED:
        return
    near = get_close_matches(str(mismatched), MISMATCHED, 1, 0.5)
    one_of = ", ".join(f'"{word}"' for word in MISMATCHED)
    raise UsageError(
        f"mismatched={mismatched!r:.60} is not understood.",
        hint=f'mismatched="{near[0]}"' if near else f"one of {one_of}, or a function of (name, values, parameter)",
    )


def match_names(have: Mapping[str, Facts], want: Collection[str], rules: Rules, report: FitReport) -> dict[str, Recipe]:
    """The tensors of a file under the names of the model: the caller's rules, then the renames that are certain.

    A rule that matches no name of the file is tried once more on the names that are left when wrappers are off.

    Args:
        have: what the file has.
        want: the names of the model's state dict.
        report: is told what was renamed at once, dropped, and which rule did nothing.
    """
    renamed = rules.apply(have)
    unwrapped = unwrap(renamed.recipes, want)
    if unwrapped is not None:
        report.unwrapped = unwrapped.words
        report.notes.append(unwrapped.words)
        report.dropped |= {_first_input(renamed.recipes[name]): why for name, why in unwrapped.dropped.items()}
        renamed = renamed.again(unwrapped.names)
    report.dropped |= {name: f"by the rule {rule}" for name, rule in renamed.dropped.items()}
    report.notes += [f"the rule {rule} matched nothing" for rule in renamed.idle]
    return renamed.recipes


def _first_input(recipe: Recipe) -> str:
    return recipe.inputs[0]


def select(
    recipes: dict[str, Recipe], want: Collection[str], selection: Selection, report: FitReport
) -> dict[str, Recipe]:
    """The tensors that the caller's globs choose; what is left out on either side is in the report."""
    if selection.everything:
        return recipes
    selection.check(want, recipes)
    report.left = [name for name in want if name not in selection]
    wanted = set(want)
    for name, recipe in recipes.items():
        if name not in selection and name not in wanted:
            report.dropped[_first_input(recipe)] = "not selected"
    return {name: recipe for name, recipe in recipes.items() if name in selection}


def module_metadata(metadata: Mapping[str, Any] | None, recipes: Mapping[str, Recipe]) -> dict[str, Any] | None:
    """The versions of the modules (``_metadata`` of a state dict), under the names that the model has for them.

    Example:
        >>> module_metadata({"module.bn": {"version": 2}}, {"bn.weight": Recipe(("module.bn.weight",), Facts((), ""))})
        {'bn': {'version': 2}}
    """
    if metadata is None:
        return None
    old, new = _prefixes(recipes)
    found: dict[str, Any] = {}
    for place, facts in metadata.items():  # modules without tensors of their own included
        whole = f"{place}." if place else ""
        if whole.startswith(old):
            found[f"{new}{whole.removeprefix(old)}".removesuffix(".")] = facts
    for name, recipe in recipes.items():
        here, there = name.rpartition(".")[0], recipe.inputs[0].rpartition(".")[0]
        if there in metadata:
            found[here] = metadata[there]
    return found


def _prefixes(recipes: Mapping[str, Recipe]) -> tuple[str, str]:
    """The prefix that all names of the file have and the model's do not, and the other way round; "" for none."""
    taken, given = set(), set()
    for new, recipe in recipes.items():
        old = recipe.inputs[0]
        taken.add(old.removesuffix(new) if old.endswith(new) else "")
        given.add(new.removesuffix(old) if new.endswith(old) else "")
    return taken.pop() if len(taken) == 1 else "", given.pop() if len(given) == 1 else ""


def suggest_names(report: FitReport) -> None:
    """Note the closest name for each missing one, and a rename that would fix many at once."""
    if not report.missing or not report.unexpected:
        return
    from dotpt.models.closest import suggest
    from dotpt.models.nearest import Nearest

    free = {name: report.in_file[name] for name in report.unexpected if name in report.in_file}
    nearest = Nearest(free)
    for name in report.missing[:_DEFINITE]:
        near = nearest.to(name, report.in_model.get(name), 1)
        if near:
            report.closest[name] = near[0]
    suggestions = suggest(free, {name: report.in_model[name] for name in report.missing if name in report.in_model})
    if suggestions:
        report.rules = dict(suggestions[0].rules)
        report.notes.append(suggestions[0].words)


def note_what_matched(report: FitReport, recipes: Mapping[str, Recipe]) -> None:
    """Of what was matched, note what has another name in the file or was made by rules."""
    from dotpt.models.report import Converted

    for name in report.matched:
        recipe = recipes.get(name)
        if recipe is None:
            continue
        if not recipe.plain:
            report.converted.append(Converted(name, recipe.inputs, recipe.words))
        elif recipe.inputs[0] != name:
            report.renamed[recipe.inputs[0]] = name
