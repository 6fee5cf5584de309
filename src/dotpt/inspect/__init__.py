"""What a file is, in words and in facts: the room behind `dotpt.inspect`.

A decoded file (`dotpt.Archive`) crosses this boundary inwards, a `Report` outwards. Nothing here reads the bytes
of a tensor, and nothing imports torch or numpy: a report costs the directory and the pickle.

* `claims`: a statement and how certain it is       * `kinds`, `frameworks`, `writer`: what it is, and whose
* `roles`, `names`, `optimizers`: which part is which   * `summary`, `waste`, `prefixes`, `notes`: what it amounts to
* `network`, `families`: which known architecture it is, from the table in `families/data`
* `safety`: what the pickles name                    * `damage`: what is left of a file that was cut
* `usage`: the lines that load it                    * `report`, `text`, `html`: all of it, for programs and people
* `content`, `plain`, `sizes`: looks into the tree, values as JSON, sizes as words

To teach dotpt another library, add a row to a table of `frameworks`; another key, to one of `names`.
"""
