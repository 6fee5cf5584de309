"""`dotpt.save_model`: a model into a file that says how it is built. torch sees a plain state dict.

What crosses this boundary: a live model in; weights, and data about its code, out. No code is pickled.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from dotpt.errors import MissingDependency, UsageError
from dotpt.formats.architecture import Architecture
from dotpt.saving.save import save

_OPTIONS = frozenset("alignment compact durable progress protocol recycle storage_options timestamp verify".split())


def save_model(
    model: Any,
    path: Any,
    *,
    init: Mapping[str, Any] | None = None,
    source: bool = True,
    example_inputs: Any = None,
    metadata: Mapping[str, Any] | None = None,
    check: bool = True,
    seed: int = 0,
    **options: Any,
) -> Architecture:
    """Save a model so that `dotpt.load_model` gives it back ready to run, also on another machine.

    The file is the plain ``.pt`` of its state dict: ``torch.load(path, weights_only=True)`` opens it. Beside the
    weights lie, as data, the name of its class, the arguments that built it, the versions of the packages that it uses,
    the text of the author's modules that define it, and what it gives for the example inputs. The model is left as it
    is.

    Args:
        model: a `torch.nn.Module`. What `torch.compile`, DataParallel and DistributedDataParallel wrap is taken out.
        path: a path, a binary file object, or an fsspec address.
        init: the constructor's arguments by name: numbers, texts, lists, tuples, dictionaries, types and devices of
            torch, classes, functions, dataclasses, members of an enumeration, and modules made of these. Without it
            they are read from the model's attributes, and only taken if they build this model again.
        source: put the text of the modules into the file; their hashes are noted in any case.
        example_inputs: what to call the model with: a tensor, a tuple or list of positional arguments, or a dictionary
            of named ones. The outputs are computed in eval mode without gradients, and noted with the inputs.
        metadata: what to note in the file: JSON values by name, read by `dotpt.read_metadata`.
        check: build a second model from what is noted, and compare its structure and its outputs. It shares the first
            one's weights, so that it takes little memory.
        seed: of the random numbers while the outputs are computed, for models that draw some in eval mode, too.
        options: as `dotpt.save` takes them: ``durable``, ``verify``, ``compact``, ``recycle``, ``progress``,
            ``alignment``, ``protocol``, ``timestamp``, ``storage_options``.

    Returns:
        What was noted; ``print`` shows the call that builds the model.

    Raises:
        CannotDescribe: an argument is not known or cannot be written down (``key`` names it), or what is noted builds
            another model; the message says in what it differs.
        ArgumentsChanged: ``init`` does not fit the constructor.
        OutputsDiffer: the second model gives other outputs: something was set after the first was built.
        WriteError: the file cannot be written. What was there before is untouched.

    Example:
        >>> import dotpt, tempfile, torch
        >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)).eval()
        >>> inputs = torch.ones(1, 4)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     saved = dotpt.save_model(model, f"{folder}/model.pt", example_inputs=inputs)
        ...     again = dotpt.load_model(f"{folder}/model.pt")
        >>> torch.equal(again(inputs), model(inputs))
        True
    """
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise UsageError(
            f"dotpt.save_model has no argument {', '.join(sorted(unknown))}.",
            hint=f"the options of saving are {', '.join(sorted(_OPTIONS))}",
        )
    try:
        from dotpt.models.torch_saving import Wishes, described
    except ImportError as error:
        if error.name != "torch":
            raise
        raise MissingDependency("torch is not installed.", hint="pip install torch") from None
    found = described(model, Wishes(init, source, example_inputs, check, seed))
    save(found.state, path, metadata=metadata, _records=found.records, **options)
    for note in found.architecture.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return found.architecture
