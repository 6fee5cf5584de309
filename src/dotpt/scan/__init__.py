"""What crosses this boundary: a file in, what it may do out: `Findings`.

* `scan`: the verb              * `session`: one file being scanned, its members, its budget   * `examine`: what is what
* `strict`: read as load reads  * `streams`: what pickles name and call     * `hidden`: pickles in texts
* `containers/`: files within files      * `others`: members that are no zip      * `rules`: the table of rules
* `policy`: what a user allows  * `folders`, `workers`: many files           * `outcome`, `sarif`: what is said of them

Invariant: one decoder. What is scanned went through the container readers and the opcode machine that load; only what
these refuse is looked at more tolerantly, and then the verdict is never clean.
"""
