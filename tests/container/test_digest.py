"""Hashes of ranges of bytes that come by once, in pieces of any size."""

from __future__ import annotations

from itertools import pairwise

import xxhash
from hypothesis import given
from hypothesis import strategies as st

from dotpt.container.digest import RangeHashes, hash_of


@st.composite
def ranges_and_pieces(draw: st.DrawFn) -> tuple[bytes, list[tuple[int, int]], list[int]]:
    data = draw(st.binary(max_size=200))
    position = st.integers(0, len(data))
    ranges = draw(st.lists(st.tuples(position, position).map(lambda pair: (min(pair), max(pair))), max_size=12))
    cuts = sorted(draw(st.lists(position, max_size=8)))
    return data, ranges, [0, *cuts, len(data)]


@given(ranges_and_pieces())
def test_ranges_in_any_order_and_overlap(case: tuple[bytes, list[tuple[int, int]], list[int]]) -> None:
    data, ranges, cuts = case
    hashes = RangeHashes(ranges)
    for begin, end in pairwise(cuts):
        hashes.update(memoryview(data)[begin:end])
    assert hashes.found == {(begin, end): hash_of(data[begin:end]) for begin, end in ranges}


def test_a_range_that_was_not_seen_to_its_end_has_no_hash() -> None:
    hashes = RangeHashes([(0, 4), (2, 9)])
    hashes.update(memoryview(b"abcdef"))
    assert hashes.found == {(0, 4): hash_of(b"abcd")}


def test_the_hash_is_the_one_that_other_tools_give() -> None:
    assert hash_of(b"dotpt") == xxhash.xxh3_128(b"dotpt").hexdigest()
    # from the test vectors of xxHash: XXH3_128bits of nothing
    assert hash_of(memoryview(b"")) == "99aa06d3014798d86001c324468d497f"
