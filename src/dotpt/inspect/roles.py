"""Which part of a file is which: weights, optimizer, epoch, ... each with its size."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dotpt.inspect.claims import Claim, confirmed, inferred, unknown
from dotpt.inspect.content import Keys, children_of, references_in, short_value
from dotpt.inspect.kinds import is_optimizer, is_rng, is_scaler, is_scheduler, is_state_dict
from dotpt.inspect.names import WEIGHT_KEYS, role_of_name
from dotpt.inspect.prefixes import COUNTER
from dotpt.rescue.modules import is_module
from dotpt.tensors.refs import StorageRef, TensorRef

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive

#: ``progress`` is the epoch or step reached, ``config`` hyper-parameters and arguments, ``about`` version, date and
#: licence, ``code`` sources that are in the file.
ROLES = (
    "weights", "ema", "optimizer", "scheduler", "scaler", "rng", "loader", "config", "metrics", "loss",
    "progress", "code", "about", "other",
)  # fmt: skip

_MOST_PARTS = 64  # of one dictionary; the rest are counted together, so that a stranger cannot make it quadratic
_DEEPEST = 3  # how far wrappers within wrappers are seen through


@dataclass(frozen=True, slots=True)
class RolePart:
    """One part of a file.

    Attributes:
        role: one of `ROLES`.
        address: where it lies: the keys on the way, joined by dots; ``""`` for the whole object.
        keys: the same as the keys themselves.
        tensors: how many tensors it has.
        params: their elements, shared ones once.
        bytes: bytes of the storages that no part before it has; the parts add up to what the file holds.
        value: the value of a scalar (epoch 3, loss 0.12), a short text for other plain values, else None.
        claim: what the role rests on.
    """

    role: str
    address: str
    keys: Keys
    tensors: int
    params: int
    bytes: int
    value: Any
    claim: Claim

    def to_dict(self) -> dict[str, Any]:
        """The part as plain values."""
        from dotpt.inspect.plain import plain

        return {
            "role": self.role,
            "address": self.address,
            "keys": [plain(key) for key in self.keys],
            "tensors": self.tensors,
            "params": self.params,
            "bytes": self.bytes,
            "value": plain(self.value),
            "certainty": self.claim.certainty,
            "because": self.claim.because,
        }


def roles_of(archive: Archive) -> list[RolePart]:
    """The parts of a file, in its order."""
    contents = archive.contents
    if contents.format != "torchscript":
        return parts_of(archive.tree)
    counter = _Counter()
    claim = confirmed("weights", "a TorchScript file holds a module")
    parts = [counter.part("weights", (), archive.tensors.values(), None, claim)]
    code = contents.extra.get("code")
    if code:
        text = f"{len(code):,} source files" if hasattr(code, "__len__") else None
        parts.append(counter.part("code", ("code",), (), text, confirmed("code", "it has the folder code/")))
    return parts


def weights_address(archive: Archive) -> str | None:
    """Where the weights are: ``""`` for the whole object, None if there are none.

    Of several candidates the first of the well-known keys wins (`dotpt.inspect.names.WEIGHT_KEYS`): averaged weights
    come before those of the last step, as libraries do when they load for inference.
    """
    part = weights_part(roles_of(archive))
    return None if part is None else part.address


def weights_part(parts: Iterable[RolePart]) -> RolePart | None:
    """The part that holds the weights (see `weights_address`)."""
    found = [part for part in parts if part.role in ("weights", "ema") and part.tensors]
    order = {key: at for at, key in enumerate(WEIGHT_KEYS)}

    def rank(part: RolePart) -> tuple[int, int]:
        key = part.keys[-1] if part.keys else ""
        known = order.get(key.lower(), len(order)) if type(key) is str else len(order)
        return known, part.role != "weights"

    return min(found, key=rank, default=None)


def parts_of(tree: Any) -> list[RolePart]:
    """The parts of an object."""
    return _Finder().parts(tree)


class _Counter:
    """Sizes of parts: a storage counts for the first part that looks at it."""

    def __init__(self) -> None:
        self._seen: dict[int, StorageRef] = {}

    def part(self, role: str, keys: Keys, refs: Iterable[Any], value: Any, claim: Claim) -> RolePart:
        """A part made of these tensors (and storages)."""
        count, params, size = 0, 0, 0
        places = set()
        for ref in refs:
            if type(ref) is StorageRef:
                size += self._new_bytes(ref)
                continue
            count += 1
            place = place_of(ref)
            if place not in places:
                places.add(place)
                params += ref.numel
            for piece in ref.strided_parts() if ref.parts else (ref,):
                if piece.storage is not None:
                    size += self._new_bytes(piece.storage)
        return RolePart(role, ".".join(map(str, keys)), keys, count, params, size, value, claim)

    def _new_bytes(self, storage: StorageRef) -> int:
        base = storage.view_of[0] if storage.view_of else storage
        if id(base) in self._seen:
            return 0
        self._seen[id(base)] = base
        return base.nbytes


def place_of(ref: TensorRef) -> tuple[Any, ...]:
    """What two tensors that are the same values in the same place have in common."""
    if ref.storage is None:
        return (id(ref),)
    return id(ref.storage), ref.offset, ref.shape, ref.strides, ref.dtype.name


class _Finder:
    def __init__(self) -> None:
        self._counter = _Counter()
        self._visited: set[int] = set()
        self._found: dict[int, tuple[Any, list[Any]]] = {}
        self._parts = 0

    def parts(self, tree: Any, keys: Keys = ()) -> list[RolePart]:
        whole = _by_structure(tree)
        if whole is not None:
            return [self._part(whole.value, keys, tree, whole)]
        named = children_of(tree)
        if not named:
            claim = unknown("it is one object without named parts")
            return [self._part("other", keys, tree, claim)]
        direct = _direct_tensors(named)
        found: list[RolePart] = []
        like = is_state_dict(direct)
        grouped = direct if like or len(direct) > 1 else {}
        if grouped:  # weights that lie beside an epoch, say, without a dictionary of their own
            claim = inferred("weights", "tensors under parameters' names") if like else unknown("no name tells")
            found.append(self._part("weights" if like else "other", keys, list(direct.values()), claim, None))
        rest = [(key, value) for key, value in named.items() if key not in grouped]
        for key, value in rest[:_MOST_PARTS]:
            found += self._child(key, value, keys)
        if len(rest) > _MOST_PARTS:
            others = [value for _, value in rest[_MOST_PARTS:]]
            claim = unknown("too many parts to tell apart")
            found.append(self._part("other", keys, others, claim, f"{len(others):,} more parts"))
        return found

    def _child(self, key: Any, value: Any, keys: Keys) -> list[RolePart]:
        keys = (*keys, key)
        self._parts += 1
        if len(keys) < _DEEPEST and self._parts <= _MOST_PARTS and _is_wrapper(value):
            return self.parts(value, keys)
        claim = _role(key, value, bool(self._references(value)))
        return [self._part(claim.value if claim.known else "other", keys, value, claim)]

    def _references(self, value: Any) -> list[Any]:
        """The tensors in a value; the same object under two names has them twice."""
        known = self._found.get(id(value))
        if known is None:
            known = self._found[id(value)] = value, references_in(value, self._visited)
        return known[1]

    def _part(self, role: str, keys: Keys, value: Any, claim: Claim, shown: Any = ...) -> RolePart:
        refs = self._references(value)
        if shown is ...:
            shown = None if refs else short_value(value)
        return self._counter.part(role, keys, refs, shown, claim)


def _by_structure(value: Any) -> Claim | None:
    """The role of a value that can be told without its name."""
    if is_optimizer(value):
        return confirmed("optimizer", "it has state and param_groups")
    if is_scheduler(value):
        return inferred("scheduler", "it has last_epoch and what schedulers keep beside it")
    if is_scaler(value):
        return confirmed("scaler", "it has the growth_factor of a GradScaler")
    if is_rng(value):
        return inferred("rng", "it has the length of a generator's state")
    if is_module(value):
        return confirmed("weights", "it is a module")
    if is_state_dict(value):
        if COUNTER in value:
            return inferred("ema", f"it counts {COUNTER}, as torch's AveragedModel does")
        return inferred("weights", "it holds tensors under parameters' names")
    return None


def _role(key: Any, value: Any, has_tensors: bool) -> Claim:
    """The role of a named part."""
    name = str(key)
    by_name = role_of_name(name)
    structure = _by_structure(value)
    if structure is None and _is_group_of_weights(value):
        structure = inferred("weights", "its parts hold tensors under parameters' names")
    if structure is not None:
        if structure.value == "weights" and by_name == "ema":
            return inferred("ema", f"{structure.because}, and is called {name[:60]}")
        if structure.value == "weights" and by_name in ("optimizer", "scheduler", "scaler", "rng"):
            return inferred(by_name, f"it is called {name[:60]}")
        return structure
    if by_name in ("weights", "ema") and not (value is None or has_tensors):
        return unknown("its name and content do not tell")  # params: {"lr": 0.1}
    if by_name is not None:
        return inferred(by_name, f"it is called {name[:60]}")
    return unknown("its name and content do not tell")


def _is_group_of_weights(value: Any) -> bool:
    """A dictionary or list of modules and state dicts: a model of several networks."""
    members = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(members, (list, tuple)) or not 0 < len(members) <= _MOST_PARTS:
        return False
    return all(is_module(member) or is_state_dict(member) for member in members)


def _is_wrapper(value: Any) -> bool:
    """A dictionary that is a checkpoint itself: one of its parts holds weights, and not all do."""
    if not isinstance(value, dict) or not 0 < len(value) <= _MOST_PARTS or is_state_dict(value) or is_optimizer(value):
        return False
    return any(
        type(key) is str and role_of_name(key) in ("weights", "ema") and (is_state_dict(child) or is_module(child))
        for key, child in value.items()
    ) and not _is_group_of_weights(value)


def _direct_tensors(named: dict[Any, Any]) -> dict[Any, Any]:
    return {
        key: value
        for key, value in named.items()
        if type(value) is TensorRef and not is_rng(value) and role_of_name(str(key)) in (None, "weights")
    }
