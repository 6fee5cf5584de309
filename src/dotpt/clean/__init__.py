"""What crosses this boundary: a file in, the same tensors and plain values in a file in which nothing can run, out.

* `clean`: the verb      * `walk`, `values`, `objects`, `arrays`: what each kind of value becomes
* `output`, `check`: written, read back, compared and scanned before it takes its place    * `report`: what was done
"""
