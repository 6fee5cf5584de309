"""A member read exactly as `dotpt.load` reads it, with a journal of what its pickles ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dotpt.archive.opening import open_contents
from dotpt.errors import DotptError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.formats.record_names import METADATA
from dotpt.pickling.journal import Journal
from dotpt.scan.session import Session
from dotpt.scan.shape import judge_shape
from dotpt.scan.streams import judge, judge_layers
from dotpt.source.base import Source

Reader = Callable[[Source, ReadOptions], Contents]


_OF_ONE_PART = frozenset(("_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_parameter"))


@dataclass(slots=True)
class Reading:
    """What the loader made of a member.

    Attributes:
        contents: the file, decoded; None if it was refused.
        error: why it was refused.
    """

    contents: Contents | None
    error: DotptError | None


def read_as_load(
    session: Session, source: Source, *, deflated: bool = False, reader: Reader = open_contents
) -> Reading:
    """Read a member, and report what its pickles name and call, and what is hidden in their texts.

    Args:
        session: where it is reported.
        source: the member.
        deflated: whether compressed records are read, which load does only when asked.
        reader: reads it, where the kind of the member is known.
    """
    journal = Journal()
    limits = replace(session.limits, deflated=True) if deflated else session.limits
    # Latin-1 takes any byte: how Python 2's texts are read is no question of safety.
    options = ReadOptions(limits=limits, encoding="latin1", journal=journal)
    contents, refusal = None, None
    try:
        contents = reader(source, options)
    except DotptError as error:
        refusal = error.with_traceback(None)  # whose frames hold what was decoded until then
        refusal.__context__ = refusal.__cause__ = None
    judge(session, journal, script=contents is not None and contents.format == "torchscript")
    if contents is not None:
        trees = [contents.tree, *(shard.tree for shard in contents.shards)]
        judge_layers(session, contents.globals, trees)
        for tree in trees:
            judge_shape(session, tree)
        if contents.metadata or METADATA in contents.container:
            from dotpt.scan.words import judge_words

            judge_words(session, contents)
        if any("_rebuild_" in name.name and name.name not in _OF_ONE_PART for name in contents.globals):
            from dotpt.scan.parts import judge_parts

            judge_parts(session, contents, options)
    if journal.texts:
        from dotpt.scan.hidden import search_texts

        search_texts(session, journal)
    return Reading(contents, refusal)
