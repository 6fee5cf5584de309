"""One named, deterministic object of the corpus, and the table it is entered in."""

from __future__ import annotations

import io
import pickle
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

#: What torch says about its own parts when they are built, saved or loaded. Nothing else is silenced.
NOISE = (
    "TypedStorage is deprecated",
    "ComplexHalf support is experimental",
    "Sparse CSR tensor support is in beta",
    "Sparse invariant checks are implicitly disabled",
    "The PyTorch API of nested tensors is in prototype",
    "torch.quantize_per_tensor, torch.quantize_per_channel and other quantized tensor creation",
    "Detected pickle protocol",
    "`torch.jit.",
    "torch.tensor results are registered as constants in the trace",
    "Lite Interpreter is deprecated",
    "torch.distributed is disabled, unavailable",
    "torch.cuda.amp.GradScaler is enabled, but CUDA is not available",
    "Couldn't retrieve source code for container",
    "Setting attributes on ParameterDict",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence torch's remarks on deprecated and experimental parts; any other warning stays an error."""
    with warnings.catch_warnings():
        for message in NOISE:
            warnings.filterwarnings("ignore", message=message)
        yield


@dataclass(frozen=True)
class Entry:
    """A builder with a name and tags; calling it builds the object, the same one each time.

    Attributes:
        name: the key in `OBJECTS`.
        make: builds the object; may use the global random generators, which are seeded and put back.
        tags: what the object is good for, such as ``tensor``, ``dtype``, ``sparse``, ``module``, ``cycle``;
            ``no-legacy`` says that torch cannot read it back from the legacy form.
    """

    name: str
    make: Callable[[], Any]
    tags: frozenset[str]

    def __call__(self) -> Any:
        """Build the object."""
        numpy_state, python_state = np.random.get_state(), random.getstate()
        try:
            with quiet(), torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                np.random.seed(0)
                random.seed(0)
                return self.make()
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)

    @cached_property
    def safe(self) -> bool:
        """Whether ``torch.load(weights_only=True)`` opens it when ``torch.save`` wrote it; found by trying."""
        buffer = io.BytesIO()
        with quiet():
            torch.save(self(), buffer)
            buffer.seek(0)
            try:
                torch.load(buffer, weights_only=True)
            except pickle.UnpicklingError:
                return False
        return True


class Table(dict[str, Entry]):
    """Entries by name, filled by a decorator so that each stands beside its name."""

    def add(self, name: str, make: Callable[[], Any], *tags: str) -> None:
        """Enter `make` under `name`; a name is used once."""
        if name in self:
            raise ValueError(f"two corpus objects are named {name!r}")
        self[name] = Entry(name, make, frozenset(tags))

    def entry(self, *tags: str) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
        """Decorate a function without arguments: its name is the entry's name."""

        def enter(make: Callable[[], Any]) -> Callable[[], Any]:
            self.add(make.__name__, make, *tags)
            return make

        return enter
