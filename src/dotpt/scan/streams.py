"""What pickles name and call: a journal in, findings out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dotpt.errors import readable
from dotpt.pickling.journal import CallEntry, Journal, NameEntry
from dotpt.pickling.nn_names import is_part_of_torch
from dotpt.pickling.values import GlobalName, InertGlobal, InertObject
from dotpt.scan.session import Session

if TYPE_CHECKING:
    from dotpt.pickling.name_kinds import Meaning

_MOST_NAMES = 50_000  # to judge them takes half a second
_REACHES = "reaches-into-objects"


def judge(session: Session, journal: Journal, *, script: bool = False) -> None:
    """Report every name that a journal has, with the call that it is used in.

    Args:
        session: where it is reported.
        journal: what was noted.
        script: whether it is of a TorchScript archive, which has classes of its own.
    """
    if not journal.names:
        return
    calls = _Calls(journal)
    named = session.findings.names
    if len(journal.names) > _MOST_NAMES:
        text = f"It names {len(journal.names):,} classes and functions; the first {_MOST_NAMES:,} were judged."
        session.add("limit-exceeded", text, hint="no honest file names as many: get it again from its author")
    for noted in journal.names[:_MOST_NAMES]:
        text = readable(str(noted.name))
        named[text] = named.get(text, 0) + 1
        if not noted.name.known and not (script and noted.name.module.startswith("__torch__")):
            _judge_name(session, noted, calls)
    for record, offset, full in journal.changes:
        text = f"It sets attributes of {full} itself, not of an instance."
        session.add("changes-a-class", text, record=record, offset=offset, opcode="BUILD", name=full)
    if journal.calls:
        from dotpt.scan.pseudo import Code

        session.findings.code += Code(session.place).lines(journal.calls.values())


def judge_layers(session: Session, names: Iterable[GlobalName], trees: Iterable[Any]) -> None:
    """Report a use of torch's own layers that no saved model makes: they are harmless as one uses them, and only so."""
    if not any(not name.known and is_part_of_torch(name.module, name.name) for name in names):
        return
    from dotpt.pickling.nn_records import first_oddity

    for tree in trees:
        odd = first_oddity(tree)
        if odd is not None:
            session.add("odd-use-of-torch", f"It uses {odd.name} as no saved model does: {odd.words}.", name=odd.name)


class _Calls:
    """The calls of a journal, by what is called."""

    def __init__(self, journal: Journal) -> None:
        self._first: dict[tuple[str, str], CallEntry] = {}
        self._direct: dict[str, list[InertObject]] = {}
        for entry in journal.calls.values():
            self._first.setdefault((entry.record, entry.made.type_name), entry)
            if type(entry.made.callee) is InertGlobal:
                self._direct.setdefault(entry.made.callee.qualified, []).append(entry.made)

    def first(self, noted: NameEntry) -> CallEntry | None:
        """The first call of a name, or of what calling it gave."""
        return self._first.get((noted.record, str(noted.name)))

    def fill_only(self, name: str) -> bool:
        """Whether a class is nowhere called with arguments: instances are made empty, and filled."""
        return all(made.how == "new" and not made.args and not made.kwargs for made in self._direct.get(name, ()))

    def reach_far(self, name: str) -> bool:
        """Whether a call of `getattr` or its like asks for what leads out of an object, as attacks do."""
        return any(_reaches_far(made) for made in self._direct.get(name, ()))


def _judge_name(session: Session, noted: NameEntry, calls: _Calls) -> None:
    name, call = noted.name, calls.first(noted)
    full = str(name)
    if is_part_of_torch(name.module, name.name) or session.policy.allows(full):
        return
    from dotpt.pickling.name_kinds import is_harmless_only_if_empty, meaning_of

    meaning = meaning_of(name.module, name.name)
    if meaning.severity == "harmless":
        if is_harmless_only_if_empty(name.module, name.name) and not calls.fill_only(full):
            text = f"It calls {full} with arguments, as no saved file does: {meaning.what}."
            _add(session, noted, call, meaning, "odd-use-of-library", text)
            return
        if meaning.kind != "plain-value":
            _add(session, noted, call, meaning, "known-library", f"It names {full}: {meaning.what}.")
        return
    severity = meaning.severity
    if meaning.kind == _REACHES and calls.reach_far(full):
        severity = "dangerous"
    if severity == "dangerous":
        rule, verb = ("dangerous-call", "calls") if call else ("dangerous-name", "names")
    else:
        rule, verb = (_REACHES if meaning.kind == _REACHES else "unknown-name"), "names"
    _add(session, noted, call, meaning, rule, f"It {verb} {full}, {_is_or_does(meaning.what)}.")
    if readable(full) != full:
        _add(session, noted, call, meaning, "text-in-disguise", f"It names {full!r}, with marks that hide what it is.")


def _add(session: Session, noted: NameEntry, call: CallEntry | None, meaning: Meaning, rule: str, text: str) -> None:
    from dotpt.scan.pseudo import OPCODES, Code

    entry = call or noted
    session.add(
        rule,
        text,
        why=meaning.why or None,
        hint=meaning.hint or None,
        record=noted.record,
        offset=call.offset if call else noted.name.offset,
        opcode=OPCODES.get(entry.opcode),
        name=str(noted.name),
        call=Code().call(call.made) if call else None,
    )


def _is_or_does(what: str) -> str:
    """``which runs programs``; ``a class of ultralytics``."""
    first = what.partition(" ")[0]
    return f"which {what}" if first.endswith("s") and first not in ("its", "this") else what


def _reaches_far(made: InertObject) -> bool:
    return any(_is_harmful(arg, number) for number, arg in enumerate(made.args))


def _is_harmful(argument: Any, number: int) -> bool:
    from dotpt.pickling.name_kinds import attribute_is_harmful

    if type(argument) is str:
        return any(attribute_is_harmful(part) for part in argument.split("."))
    # an attribute whose name is made while loading can be anything
    return number > 0 and type(argument) is InertObject
