"""Which known architecture a state dict belongs to: the table of families, and the matcher that holds names against it.

Names and shapes of weights cross this boundary inwards, a `Fingerprint` outwards. Invariant: a family is claimed only
when every name that it needs is there with its shape, nothing that it never has is there, and its own patterns explain
most of the names; everything else is unknown, with the nearest families as candidates. Every claim is INFERRED.

* `data/*.toml`: the families, one entry each            * `table`: those files as records
* `patterns`: how names and shapes are written there     * `match`: which family it is, and what was measured
* `names`: names without wrappers, and where a network may begin   * `fingerprint`: the answer

To teach dotpt another family, add an entry to a file of ``data/`` (docs/families.md).
"""
