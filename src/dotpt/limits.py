"""The limits that keep a hostile file harmless, as one record.

Each default is far above what real models need and low enough that reaching it costs less than two seconds
and 200 MB. Beyond one, every verb raises `dotpt.LimitExceeded` with its name.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a file may ask for. Raise one with ``dotpt.Limits(nesting=10_000)``.

    Attributes:
        nesting: how deep containers may lie in each other.
        key_nesting: how deep a dictionary key or set member may be nested (hashing recurses in C).
        key_parts: how many members the nested or very long keys of one stream may have, counted at each use.
        colliding_keys: how many keys of one container may share a hash.
        memo: how many entries the pickle memo may have.
        stack: how many items the pickle stack may hold.
        pickle_bytes: bytes of one pickle stream.
        decoded_bytes: estimated bytes of the objects that a pickle stream builds, tensor data excluded.
        integer_bytes: bytes of one integer (1,024 keeps it printable).
        name_bytes: bytes of one module or class name.
        expanded_bytes: bytes a tensor may claim beyond what its storage holds (an expanded, stride-0 tensor).
        tensor_dims: dimensions of one tensor (numpy and torch allow 64).
        records: entries of a container.
        header_bytes: bytes of a container's directory or header.
        deflated: whether compressed records may hold pickles and tensors (torch never writes that).
        inflated_bytes: bytes that a compressed record or stream may expand to.
        inflate_ratio: how many times its stored size a compressed record may expand to, beyond 1 MiB.
        nested_files: how many torch files may be embedded within each other in one pickle.

    Example:
        >>> Limits().nesting
        1000
    """

    nesting: int = 1_000
    key_nesting: int = 32
    key_parts: int = 2_000_000
    colliding_keys: int = 1_000
    memo: int = 2_000_000
    stack: int = 1_000_000
    pickle_bytes: int = 512 * MIB
    decoded_bytes: int = 128 * MIB
    integer_bytes: int = 1_024
    name_bytes: int = 4 * KIB
    expanded_bytes: int = 256 * MIB
    tensor_dims: int = 64
    records: int = 1_000_000
    header_bytes: int = 128 * MIB
    deflated: bool = False
    inflated_bytes: int = 16 * GIB
    inflate_ratio: int = 200
    nested_files: int = 2


DEFAULT_LIMITS = Limits()
# A file that is trusted as a program is needs no limit to do harm.
TRUSTED_LIMITS = Limits(
    nesting=1 << 40, key_nesting=900, key_parts=1 << 40, colliding_keys=1 << 40, memo=1 << 40, stack=1 << 40,
    pickle_bytes=64 * GIB, decoded_bytes=64 * GIB, integer_bytes=GIB, name_bytes=GIB, expanded_bytes=1 << 60,
    deflated=True, nested_files=100,
)  # fmt: skip
