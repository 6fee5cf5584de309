"""Rules that rename and rework tensors: data, applied in order, reversible where nothing is lost.

What crosses this boundary: rules as TOML, YAML, JSON or Python values in; for every new name a `Recipe` out, which says
how its values are made from those in the file. Invariants: nothing is read until a recipe is made; two tensors never
get one name; what was dropped, and which rule did nothing, is said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from dotpt.errors import RulesError
from dotpt.models.facts import Facts
from dotpt.models.operations import Given, How
from dotpt.models.rule_files import as_toml, read_rules, rules_from
from dotpt.models.rules_base import Rule, State, Step
from dotpt.models.rules_idle import Idle
from dotpt.models.rules_names import Prefix, Rename

Read = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one tensor is made from those in a file.

    Attributes:
        inputs: the names in the file.
        facts: shape and type of the outcome.
        words: ``""`` for a tensor that only keeps or changes its name; else what is done: ``transposed (1, 0)``,
            ``rows 0 to 768 of attn.qkv.weight``, ``cast float64 to float32``.
    """

    inputs: tuple[str, ...]
    facts: Facts
    words: str = ""
    how: How | None = field(default=None, repr=False)

    @property
    def plain(self) -> bool:
        """Whether the values are those of its one input, untouched."""
        return self.how is None or type(self.how) is Given

    def make(self, read: Read) -> Any:
        """The values.

        Args:
            read: gives the values of an input, as a numpy array or a torch tensor; it is asked once for each. A recipe
                that is `plain` gives on whatever it gives.

        Returns:
            What ``read`` gave, or a view of it, or a new array if tensors were joined or cast.

        Raises:
            RulesError: an input is not what the rules were told, or not an ordinary tensor.
        """
        if self.how is None or type(self.how) is Given:
            return read(self.inputs[0])
        return self.how.make({name: read(name) for name in self.inputs})


def recipe_of(how: How) -> Recipe:
    """The recipe that makes a tensor."""
    return Recipe(how.inputs(), how.facts, how.words, how)


@dataclass(frozen=True, slots=True)
class Renamed:
    """What rules make of the tensors of a file.

    Attributes:
        recipes: every new name, and how its tensor is made.
        dropped: the names that were left out, and the rule that did it.
        idle: rules, as text, that matched nothing.
        waiting: the same as rules; `again` tries them once more.
    """

    recipes: dict[str, Recipe]
    dropped: dict[str, str] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    waiting: tuple[Rule, ...] = field(default=(), repr=False)

    def again(self, names: Mapping[str, str]) -> Renamed:
        """The same tensors under other names, and the rules applied to these that matched nothing before.

        Args:
            names: for each name that is kept, the other one: as `dotpt.models.wrappers.unwrap` gives them.

        Raises:
            RulesError: as `Rules.apply`.
        """
        state = {new: _how(self.recipes[old]) for old, new in names.items()}
        more = _applied(self.waiting, state)
        return replace(more, dropped=self.dropped | more.dropped)

    def make(self, read: Read) -> Iterator[tuple[str, Any]]:
        """Every new name with its values; each input is read once, and let go when nothing needs it any more.

        Args:
            read: gives the values of an input.
        """
        uses = Counter(name for recipe in self.recipes.values() for name in recipe.inputs)
        held: dict[str, Any] = {}
        for new, recipe in self.recipes.items():
            values = {name: held[name] if name in held else read(name) for name in recipe.inputs}
            uses.subtract(recipe.inputs)
            held = {name: value for name, value in (held | values).items() if uses[name]}
            yield new, recipe.make(values.__getitem__)


@dataclass(frozen=True)
class Rules:
    """Rules in the order in which they are applied, each to the outcome of those before.

    A rule is a table with one verb. Stars stand for any text, dots included, and are carried over in order::

        prefix = "module.", to = ""                                  another beginning; "" puts one before every name
        rename = "*.gamma", to = "*.weight"                          one name, or all that a glob matches
        regex = '^blocks\\.(\\d+)', to = 'layers.\\1'                   a regular expression of Python's
        split = "*.qkv", into = ["*.q", "*.k"], dim = 0              equal parts, or sizes = [512, 256]
        concat = ["*.q", "*.k"], to = "*.qkv", dim = 0               sizes = "equal", or the sizes, to be reversible
        transpose = "*.kernel", dims = [0, 1]                        two dimensions exchanged
        permute = "*.kernel", dims = [3, 2, 0, 1]                    all of them in another order
        reshape = "*.bias", shape = [-1]                             from = [1, 64], to be reversible
        cast = "*", dtype = "float32"                                tensors of the same kind; from = "bfloat16"
        drop = "*.num_batches_tracked"                               left out

    Everything takes time linear in rules times names, but regular expressions, which are the user's own: one that
    tries without end (``(a+)+$``) does so here as well. They are tried on names of at most 1,000 letters.

    Example:
        >>> rules = Rules.of({"module.": "", "head.*": "classifier.*"})
        >>> [*rules.apply({"module.head.weight": Facts((10, 64), "float32")}).recipes]
        ['classifier.weight']
    """

    rules: tuple[Rule, ...] = ()

    @classmethod
    def of(cls, value: Any) -> Rules:
        """Rules, from any of the ways to write them.

        Args:
            value: None; rules; the path of a ``.toml``, ``.yaml``, ``.yml`` or ``.json`` file; a rule as a table
                (``{"drop": "*.bias"}``); a mapping of old to new names (a key that ends in a dot, or is empty, is a
                prefix; one with a star is a glob; any other one is a whole name); or a list of these.

        Raises:
            RulesError: it is none of these, or a rule makes no sense.
            SourceError: the file cannot be read.
            MissingDependency: YAML without PyYAML.
        """
        if isinstance(value, Rules):
            return value
        if isinstance(value, (str, Path)):
            value = read_rules(Path(value))
        return cls(tuple(_flat(rules_from(value))))

    def apply(self, facts: Mapping[str, Facts]) -> Renamed:
        """What becomes of tensors. Nothing is read.

        Args:
            facts: the tensors by name. For a value that is no tensor give ``Facts((), "object")``: it can be renamed
                and dropped.

        Raises:
            RulesError: two tensors would get one name, or a shape does not allow an operation.
        """
        return _applied(self.rules, {name: Given(name, known) for name, known in facts.items()})

    def reversed(self, facts: Mapping[str, Facts] | None = None) -> Rules:
        """The rules that undo these.

        Args:
            facts: the tensors that these rules are applied to. With them the rules that come back are exact for this
                file: what a rule does not say (the sizes of joined parts, the type before a cast) is taken from it,
                and where a rule would also catch a name that was not touched, single names are written out. Without,
                they undo every file in which no untouched name looks like an outcome.

        Raises:
            RulesError: a rule loses something (a drop, a cast to a narrower type), or does not say what was there;
                the message names it.
        """
        if facts is None:
            return Rules(tuple(rule.reversed() for rule in reversed(self.rules)))
        back: list[Rule] = []
        for rule in self.rules:
            undone, facts = _undo(rule, facts)
            back += reversed(undone)
        return Rules(tuple(reversed(back)))

    def to_toml(self) -> str:
        """The rules as the text of a TOML file."""
        return as_toml(rule.table() for rule in self.rules)

    def __add__(self, other: Rules) -> Rules:
        return Rules(self.rules + other.rules)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def __str__(self) -> str:
        return "\n".join(map(str, self.rules))


def _flat(items: list[Any]) -> Iterator[Rule]:
    for item in items:
        if isinstance(item, Rules):
            yield from item.rules
        else:
            yield item


def _applied(rules: tuple[Rule, ...], state: State) -> Renamed:
    dropped: dict[str, str] = {}
    idle = Idle()
    for single, some in groupby(rules, lambda rule: _single(rule) is not None):
        if single:
            state = _with_single_names([one for rule in some if (one := _single(rule))], state, idle)
            continue
        for rule in some:
            steps = rule.steps(state)
            if not steps:
                idle.add(rule, state)
            dropped |= {name: str(rule) for step in steps if not step.new for name in _inputs(step, state)}
            state = _after(rule, steps, state)
    recipes = {name: recipe_of(how) for name, how in state.items()}
    return Renamed(recipes, dropped, tuple(idle.lines), tuple(idle.rules))


def _how(recipe: Recipe) -> How:
    return Given(recipe.inputs[0], recipe.facts) if recipe.how is None else recipe.how


def _inputs(step: Step, state: State) -> Iterator[str]:
    for name in step.old:
        yield from state[name].inputs()


def _single(rule: Rule) -> Rename | None:
    """The rule, if it is about one name."""
    return rule if isinstance(rule, Rename) and rule.single else None


def _with_single_names(rules: Iterable[Rename], state: State, idle: Idle) -> State:
    """The tensors after many renames of one name each: a file of ten thousand such rules takes no longer than one."""
    before = {name: name for name in state}
    for rule in rules:
        old = before.pop(rule.rename, None)
        if old is None:
            idle.add(rule, before)
            continue
        _check_new(rule, rule.to, rule.rename, rule.to if rule.to in before else None)
        before[rule.to] = old
    now = {old: name for name, old in before.items()}
    return {now[name]: how for name, how in state.items()}


def _check_new(rule: Rule, new: str, name: str, other: str | None) -> None:
    """Raise `RulesError` if a tensor would have no name, or the one of another."""
    if other is not None:
        raise rule.refuse(f"Two tensors would be called the same: `{other}` and `{name}`.", new)
    if not new:
        raise rule.refuse("A tensor would have no name left.", name)


def _after(rule: Rule, steps: list[Step], state: State) -> State:
    """The tensors after a rule: what is new lies where the first of the old ones lay."""
    first = {step.old[0]: step for step in steps}
    gone = {name for step in steps for name in step.old}
    if len(gone) < sum(len(step.old) for step in steps):
        raise rule.refuse("A tensor would be used twice.")
    after: State = {}
    origin: dict[str, str] = {}
    for name, how in state.items():
        put = first[name].new if name in first else {} if name in gone else {name: how}
        for new, made in put.items():
            _check_new(rule, new, name, origin.get(new))
            after[new], origin[new] = made, name
    return after


def _undo(rule: Rule, facts: Mapping[str, Facts]) -> tuple[list[Rule], Mapping[str, Facts]]:
    """Rules that undo one rule on these tensors exactly, and the tensors after it."""
    before: State = {name: Given(name, known) for name, known in facts.items()}
    steps = rule.steps(before)
    after = _after(rule, steps, before)
    try:
        general = [rule.reversed()] if steps else []
    except RulesError:  # it does not say what was there; the tensors do, or `undo` says what is lost
        general = None
    if general is None or not _leads_back(general, after, facts):
        singles = [single for step in steps for single in rule.undo(step, before)]
        general = _in_order(rule, singles, set(after))
        if not _leads_back(general, after, facts):
            raise rule.refuse("A rule cannot be turned round for these tensors.")
    return general, {name: how.facts for name, how in after.items()}


def _leads_back(rules: list[Rule], after: State, facts: Mapping[str, Facts]) -> bool:
    """Whether the rules give every tensor its old name and its old values."""
    try:
        for rule in rules:
            after = _after(rule, rule.steps(after), after)
    except RulesError:
        return False
    return {name: Given(name, known) for name, known in facts.items()} == after


def _in_order(rule: Rule, singles: list[Rule], names: set[str]) -> list[Rule]:
    """Renames of single names, so that each finds its new name free."""
    waiting = {single.to: single for single in singles if isinstance(single, Rename)}
    done: list[Rule] = [single for single in singles if not isinstance(single, Rename)]
    free = [to for to in waiting if to not in names]
    while free:
        single = waiting.pop(free.pop())
        done.append(single)
        if single.rename in waiting:
            free.append(single.rename)
    if waiting:
        raise rule.refuse("Names that were exchanged cannot be turned round one by one.", next(iter(waiting)))
    return done


__all__ = ["Facts", "Prefix", "Recipe", "Renamed", "Rule", "Rules", "recipe_of"]
