"""What each parameter and each group of a live optimizer gets from a saved one, before anything is read or changed.

What crosses this boundary: the saved state, its `Naming` and the live members in; a `Plan` out, and the rows of the
report. Invariant: no id is given to two parameters, and none to one of another shape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from dotpt.models.optimizer_names import Member, Naming
from dotpt.models.optimizer_report import OptimizerReport
from dotpt.models.optimizer_state import Id, SavedOptimizer, keeps_for_all, length_kept, shape_kept
from dotpt.models.report import Unfit


@dataclass(slots=True)
class Plan:
    """Where everything goes.

    Attributes:
        placed: name of a parameter -> the saved id whose entry it gets.
        cleared: parameters that the file keeps nothing for: they have no state afterwards, as they had none there.
        groups: for each live group, the number of the saved one whose settings it takes; None for its own.
    """

    placed: dict[str, Id] = field(default_factory=dict)
    cleared: set[str] = field(default_factory=set)
    groups: list[int | None] = field(default_factory=list)


def plan_of(
    saved: SavedOptimizer, naming: Naming, members: Sequence[Member], group_count: int, report: OptimizerReport
) -> Plan:
    """Who gets what; the report is told.

    Args:
        group_count: how many groups the live optimizer has, those without parameters included.
    """
    report.naming, report.notes = naming.how, [*report.notes, *naming.notes]
    plan = Plan()
    ids = {name: id_ for id_, name in naming.names.items()}
    for member in members:
        _place(member, ids.get(member.name), saved, naming, plan, report)
    here = {member.name for member in members}
    report.removed = [name for name in naming.names.values() if name not in here]
    report.renamed = {old: new for old, new in naming.renamed.items() if new in here}
    report.groups = plan.groups = _groups(saved, naming, members, group_count)
    _tell_places(saved, ids, members, plan, report)
    _check_one_for_all(saved, members, plan, report)
    if naming.problem and saved.state:
        report.problems.append(f"{naming.problem}.")
    if naming.open:
        report.problems.append(_unclear(saved, naming))
    if saved.state and naming.names and not (report.matched or report.skipped):
        report.problems.append(_nothing_in_common(naming, members))
    if saved.orphans:
        report.notes.append(f"What is kept for {len(saved.orphans):,} parameters of no group is left out.")
    return plan


def _place(
    member: Member, id_: Id | None, saved: SavedOptimizer, naming: Naming, plan: Plan, report: OptimizerReport
) -> None:
    if id_ is None and not saved.state and not naming.how:
        report.stateless.append(member.name)
        return
    if id_ is None:
        meant = any(shape_kept(saved.state[open_]) == member.shape for open_ in naming.open)
        (report.unplaced if meant or naming.problem else report.added).append(member.name)
        return
    entry = saved.state.get(id_, {})
    shape = shape_kept(entry)
    if shape not in (None, member.shape):
        report.skipped.append(Unfit(member.name, shape, member.shape, "the parameter has another shape now"))
    elif entry:
        plan.placed[member.name] = id_
        report.matched.append(member.name)
    else:
        plan.cleared.add(member.name)
        report.stateless.append(member.name)


def _groups(saved: SavedOptimizer, naming: Naming, members: Sequence[Member], count: int) -> list[int | None]:
    """Which saved group each live group takes its settings from: that of most of its parameters."""
    home = {naming.names[id_]: at for at, group in enumerate(saved.groups) for id_ in group.ids if id_ in naming.names}
    votes: dict[int, Counter[int]] = {}
    for member in members:
        votes.setdefault(member.group, Counter()).update([home[member.name]] if member.name in home else [])
    by_number = count == len(saved.groups) and (naming.how in ("order", "position") or not saved.state)
    return [
        vote.most_common(1)[0][0] if (vote := votes.get(at)) else at if by_number else None for at in range(count)
    ]  # fmt: skip


def _tell_places(
    saved: SavedOptimizer, ids: Mapping[str, Id], members: Sequence[Member], plan: Plan, report: OptimizerReport
) -> None:
    """Who stands elsewhere among those that are in both, and who is in a group with others now."""
    place = {id_: at for at, id_ in enumerate(saved.ids)}
    home = {id_: at for at, group in enumerate(saved.groups) for id_ in group.ids}
    common = [(member, ids[member.name]) for member in members if member.name in ids]
    before = sorted((place[id_] for _, id_ in common))
    now = {member.name: at for at, member in enumerate(members)}
    for rank, (member, id_) in enumerate(common):
        if before[rank] != place[id_]:
            report.moved[member.name] = place[id_], now[member.name]
        if plan.groups[member.group] != home[id_]:
            report.regrouped[member.name] = home[id_], member.group


def _check_one_for_all(saved: SavedOptimizer, members: Sequence[Member], plan: Plan, report: OptimizerReport) -> None:
    """LBFGS keeps one entry, under its first parameter, for all of them in a row: nothing may have changed."""
    for id_, entry in saved.state.items():
        if not keeps_for_all(entry):
            continue
        total, kept = sum(prod(member.shape) for member in members), length_kept(entry)
        first = members[0].name if members else None
        changed = (
            report.added or report.removed or report.moved or report.unplaced or plan.placed.get(first or "") != id_
        )
        if changed or kept not in (None, total):
            plan.placed.clear()
            report.matched.clear()
            report.problems.append(
                "LBFGS keeps one state for all parameters in a row, and they are not the same ones in the same order."
            )


def _unclear(saved: SavedOptimizer, naming: Naming) -> str:
    shapes = Counter(shape_kept(saved.state[id_]) for id_ in naming.open)
    described = ", ".join(f"{count:,} of shape {list(shape or ())}" for shape, count in shapes.most_common(3))
    return (
        f"The file does not name its parameters, and {len(naming.open):,} of them ({described}) "
        "could each be several of the model's."
    )


def _nothing_in_common(naming: Naming, members: Sequence[Member]) -> str:
    return (
        f"None of the parameters in the file ({_some(naming.names.values())}) "
        f"is one of the optimizer's ({_some(member.name for member in members)})."
    )


def _some(names: Iterable[str]) -> str:
    listed: list[Any] = list(names)
    return ", ".join(listed[:2]) + (", ..." if len(listed) > 2 else "")
