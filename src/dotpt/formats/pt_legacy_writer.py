"""Writes torch's old format (the default before 1.6): pickles, one behind the other, then the storages.

::

    pickle(magic) pickle(1001) pickle(facts of the machine) pickle(object) pickle(sorted keys)
    for each key in that order:  number of elements, int64 | the elements, both little-endian on every machine
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from dotpt.errors import UnsupportedError
from dotpt.formats.draft import Draft
from dotpt.pickling.encoder import Encoder

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001


def write(draft: Draft, sink: Any, protocol: int, progress: Callable[[int, int], None] | None = None) -> None:
    """Write ``draft`` into a sink.

    Args:
        progress: called with (bytes written, bytes in all).

    Raises:
        UnsupportedError: on a big-endian machine, whose elements would have to be turned round.
    """
    if sys.byteorder != "little":
        raise UnsupportedError("The legacy format cannot be written on a big-endian machine.", hint='use format="zip"')
    facts = {
        "protocol_version": PROTOCOL_VERSION,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    storages = {storage.key: storage for storage in draft.storages}
    keys = sorted(storages)
    heads = [Encoder(protocol).dump(value) for value in (MAGIC, PROTOCOL_VERSION, facts)]
    begin = b"".join([*heads, draft.pickle, Encoder(protocol).dump(keys)])
    sink.reserve(len(begin) + 8 * len(keys) + draft.nbytes)
    sink.write(begin)
    done = 0
    for key in keys:
        storage = storages[key]
        itemsize = storage.dtype.itemsize if storage.dtype.storage else 1
        sink.write((storage.written // itemsize).to_bytes(8, "little"))
        for piece in storage.pieces():
            sink.write(piece)
            done += len(piece)
            if progress is not None:
                progress(done, draft.nbytes)
