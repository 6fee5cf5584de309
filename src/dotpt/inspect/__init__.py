"""What a file is, in words and in facts: the room behind `dotpt.inspect`.

A decoded file (`dotpt.Archive`) crosses this boundary inwards, a `Report` outwards. Nothing here reads the bytes
of a tensor, and nothing imports torch or numpy: a report costs the directory and the pickle.

* `claims`: a statement and how certain it is       * `kinds`, `frameworks`, `writer`: what it is, and whose
* `roles`, `optimizers`: which part is which         * `summary`, `waste`, `prefixes`: what the tensors amount to
* `safety`: what the pickles name                    * `damage`: what is left of a file that was cut
* `usage`: the lines that load it                    * `report`, `html`: all of it, for programs and people
"""
