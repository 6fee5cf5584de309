"""Tensors that are more than plain ones, modules, and objects of classes that are not there: what each becomes.

A module becomes the state dict that it would have given, any other object a dictionary of what it holds; a call that
could do harm is left out, and what was only laid into its result are values as any others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from copy import copy
from typing import Any

from dotpt.clean import arrays
from dotpt.clean.report import ChangeLog
from dotpt.clean.values import PlainValues
from dotpt.clean.walk import DROPPED, Steps
from dotpt.container.record import Container
from dotpt.errors import DotptError
from dotpt.limits import Limits
from dotpt.pickling.name_kinds import meaning_of
from dotpt.pickling.tree import named_tensors, spelled
from dotpt.pickling.values import InertGlobal, InertObject
from dotpt.rescue import plain_values
from dotpt.rescue.modules import ModuleView, is_module, view_of
from dotpt.rescue.notes import Notes
from dotpt.rescue.plain_state import tensor_within
from dotpt.rescue.plain_values import CLASS, NOTHING, alone_in, parts_of
from dotpt.rescue.script import ScriptModules, is_script_module
from dotpt.rescue.state import state_of
from dotpt.scan.pseudo import Code
from dotpt.tensors.refs import TensorRef

_PLAIN_LAYOUTS = frozenset(
    ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "nested", "_mkldnn")
)
_NO_CLASSES = frozenset(("reaches-into-objects", "unknown-function", "odd-name"))  # calls of these make no objects
_NOT_OURS = ("attributes", "device", "array")


class NothingLeft(DotptError):
    """A file of which nothing stays when what can run is taken out of it."""


class Cleaner(PlainValues):
    """Cleans the tree of one file.

    Args:
        container: the file, whose program says what a TorchScript module's parameters are.
        limits: what the file may ask for.
        log: where everything is noted that does not stay as it is.
        hides: whether a text or bytes are a pickle in disguise.

    Attributes:
        modules: what was known of each module that became a state dict, by its address: class and plain attributes.
        notes: what is to be said of them.
        met: ids of the inert records that became something.
    """

    def __init__(self, container: Container, limits: Limits, log: ChangeLog, hides: Callable[[Any], bool]) -> None:
        super().__init__(log, hides)
        self._limits = limits
        self._script = ScriptModules(container, Notes())
        self.modules: dict[str, dict[str, Any]] = {}
        self.notes: list[str] = []
        self.met: set[int] = set()

    def _leaf(self, value: Any) -> Any:
        return self._named(value) if type(value) is InertGlobal else super()._leaf(value)

    def _steps(self, value: Any) -> Steps | None:
        if type(value) is InertObject:
            return self._object(value)
        if type(value) is TensorRef:
            return self._special_tensor(value) if _is_special(value) else None
        return super()._steps(value)

    def _named(self, value: InertGlobal) -> Any:
        """A class or function that is a value itself."""
        if is_harmful(value):
            self._log.drop(f"the name {value.qualified}", meaning_of(value.module, value.name).what)
            return DROPPED
        self._log.change(f"the class or function {value.qualified}", "its name, as text")
        return value.qualified

    # -- tensors that are more than that ------------------------------------------------------------------------------

    def _special_tensor(self, ref: TensorRef) -> Steps:
        extra = ref.extra or {}
        if ref.layout not in _PLAIN_LAYOUTS:
            self._log.change(f"a tensor of the layout {ref.layout}", "a dictionary of its parts")
            parts = {CLASS: f"torch.nested.NestedTensor, {ref.layout}", **(ref.parts or {})}
            made: dict[Any, Any] = {}
            yield from self._entries(made, (parts | {"ragged": extra.get("ragged")}).items())
            return made
        if "array" in extra:
            self._log.change(f"a tensor of the device {extra.get('device')}", "one of the CPU")
            tensor = arrays.tensor_of(extra["array"])
            return DROPPED if tensor is None else tensor
        twin = copy(ref)
        if twin.requires_grad and twin.dtype.kind not in ("float", "complex"):
            self._log.change(f"a tensor of {twin.dtype} with gradients", "one without", "torch has no such tensor")
            twin.look(requires_grad=False)
        twin.extra = {name: item for name, item in extra.items() if name not in _NOT_OURS} or None
        if "device" in extra:
            self._log.change(f"a tensor of the device {extra['device']}", "one of the CPU")
        if ref.flavor == "buffer":
            self._log.change("a torch.nn.Buffer", "a tensor")
            twin.flavor = "tensor"
        if extra.get("attributes"):
            attributes = yield "attributes", extra["attributes"]
            if attributes:
                twin.extra = (twin.extra or {}) | {"attributes": attributes}
        return twin

    # -- objects ------------------------------------------------------------------------------------------------------

    def _object(self, value: InertObject) -> Steps:
        self.met.add(id(value))
        if is_module(value):
            return (yield from self._module(value, view_of))
        if is_script_module(value):
            return (yield from self._module(value, self._script))
        tensor = tensor_within(value)
        if tensor is not None:
            self._log.change(f"a {value.type_name}", "a plain tensor")
            return (yield from self._instead(tensor))
        array = arrays.array_within(value)
        if array is not None:
            self._log.change(f"a {value.type_name}", "a plain array")
            return (yield from self._instead(array))
        if is_harmful(value):
            return (yield from self._call(value))
        return (yield from self._plain_object(value))

    def _call(self, value: InertObject) -> Steps:
        """A call that could do harm: what was only laid into its result are values as any others."""
        self._log.drop(f"the call {Code().call(value)}", meaning_of(*_name_of(value)).what)
        pairs = [pair for pair in value.pairs if type(pair) is tuple and len(pair) == 2]
        held = [*value.attributes.items(), *pairs]
        if held:
            made: dict[Any, Any] = {}
            yield from self._entries(made, held)
            return made
        if value.items:
            items: list[Any] = []
            yield from self._items(items, value.items)
            return items
        return DROPPED

    def _plain_object(self, value: InertObject) -> Steps:
        alone = alone_in(value)
        if alone is not NOTHING and not value.pairs and not value.items and not value.type_name.startswith("torch."):
            self._log.change(f"a {value.type_name}", "the value that it was made of")
            return self._atom(alone)
        attributes = value.attributes
        if value.items and not attributes and not value.pairs:
            self._log.change(f"a {value.type_name}", "a list")
            items: list[Any] = []
            yield from self._items(items, value.items)
            return items
        made: dict[Any, Any] = {}
        if value.pairs and not attributes and not value.items:
            self._log.change(f"a {value.type_name}", "a dictionary")
            yield from self._entries(made, [pair for pair in value.pairs if type(pair) is tuple and len(pair) == 2])
            return made
        self._log.change(f"a {value.type_name}", "a dictionary of what it holds")
        named = value.kwargs if type(value.kwargs) is dict else {}
        yield from self._entries(made, [(CLASS, value.type_name), *named.items(), *parts_of(value)])
        return made

    def _module(self, value: InertObject, look: Any) -> Steps:
        """The state dict that the module would have given."""
        view: ModuleView = look(value)
        found = state_of(value, limits=self._limits, look=look)
        state = OrderedDict(found.state)
        if found.metadata:
            state._metadata = found.metadata  # type: ignore[attr-defined]
        self._log.change(f"a module, {view.class_name}", "its state dict")
        if look is self._script:
            self._keep_packed(value, state)
        place = ".".join(spelled(key)[:200] for key in self._log.path)
        self.notes += [f"{place}: {note}" if place else note for note in found.notes]
        own = plain_values.PlainValues().of_module(view)
        self.modules[place] = {"class": view.class_name} | ({"attributes": own} if own else {})
        return (yield from self._instead(state))

    def _keep_packed(self, value: InertObject, state: OrderedDict[str, Any]) -> None:
        """Weights of TorchScript's quantized layers lie in objects of C++: kept under their addresses."""
        for address, ref in named_tensors(value, self._limits.nesting):
            if ".state." in address and address not in state:
                self._log.change(f"a packed weight, {address[:200]}", "a plain tensor of the state dict")
                state[address] = ref


def is_harmful(value: Any) -> bool:
    """Whether calling something can do harm by itself, or is a way to reach what can."""
    meaning = meaning_of(*_name_of(value))
    return meaning.severity == "dangerous" or meaning.kind in _NO_CLASSES


def _name_of(value: Any) -> tuple[str, str]:
    for _ in range(1000):
        if type(value) is not InertObject:
            break
        value = value.callee
    if type(value) is InertGlobal:
        return value.module, value.name
    module, _, name = str(getattr(value, "qualified", "")).rpartition(".")
    return module, name


def _is_special(ref: TensorRef) -> bool:
    extra = ref.extra or {}
    return (
        ref.layout not in _PLAIN_LAYOUTS
        or ref.flavor == "buffer"
        or any(name in extra for name in _NOT_OURS)
        or (ref.requires_grad and ref.dtype.kind not in ("float", "complex"))
    )
