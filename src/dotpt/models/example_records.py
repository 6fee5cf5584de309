"""The records ``.dotpt/examples/``: inputs of a model, and what it gave for them. They are read like any other file.

::

    .dotpt/examples/data.pkl    {"args": tuple, "kwargs": dictionary, "outputs": any}
    .dotpt/examples/data/0 ...  their tensors

They lie beside the weights, so that the weights stay a plain state dict, and are not a file in the file: a program that
looks for records in what is left of a damaged file must not find those of another one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotpt.archive.archive import build, make_backend
from dotpt.archive.load import refuse_unknown
from dotpt.archive.memories import Memories
from dotpt.container.zip import ZipContainer
from dotpt.errors import ManifestError
from dotpt.formats.architecture import EXAMPLES
from dotpt.formats.contents import Contents
from dotpt.formats.decoding import decode
from dotpt.formats.embedded import nested_reader
from dotpt.formats.pt_zip import attach_storages
from dotpt.pickling.context import Context
from dotpt.pickling.tree import transform
from dotpt.saving.draft import draft_of

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive

_KEYS = {"args": tuple, "kwargs": dict}


def example_records(example: dict[str, Any]) -> dict[str, bytes]:
    """The records of an example, by name.

    Raises:
        CannotPickle: an input is of a type that no file holds; ``key`` says where.
    """
    draft = draft_of(example, protocol=2, compacting=True, legacy=False)
    storages = {f"{EXAMPLES}data/{storage.key}": storage.content() for storage in draft.storages}
    return {f"{EXAMPLES}data.pkl": draft.pickle} | storages


def read_example(archive: Archive) -> dict[str, Any]:
    """The example of a file, with tensors of torch.

    Raises:
        UnsafeGlobal: its inputs name classes that are not known to be harmless.
        DotptError: it is damaged, or not what dotpt writes.
    """
    container, options = archive.contents.container, archive.options
    assert isinstance(container, ZipContainer)  # noqa: S101 - for mypy: nothing else has an architecture
    context = Context(options.limits, nested_reader(options), options.journal)
    tree, machine = decode(container, f"{EXAMPLES}data.pkl", context, options)
    byteorder = archive.contents.facts.get("byteorder", "little")
    attach_storages(container, context.storages, f"{EXAMPLES}data/", byteorder)
    contents = Contents("zip", tree, container, context.storages, list(machine.globals.values()))
    refuse_unknown(contents)
    memories = Memories(contents)
    memories.fetch(contents.storages.values(), verify=options.verify)
    made = make_backend("torch", memories)
    found = build(lambda: transform(tree, made.leaf, options.limits.nesting, made.finish), contents)
    _check(found, archive.name)
    return dict(found)


def _check(found: Any, path: str) -> None:
    sound = type(found) is dict and "outputs" in found
    if not sound or any(type(found.get(key)) is not kind for key, kind in _KEYS.items()):
        raise ManifestError(
            "The recorded example does not hold args, kwargs and outputs.",
            path=path,
            record=f"{EXAMPLES}data.pkl",
            hint="verify=False loads the model without it",
        )
