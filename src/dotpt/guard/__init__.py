"""What crosses this boundary: files that a program loads by torch, pickle or joblib in; those that scan clean, out.

* `guard`: the verb    * `guarding`: the active guards    * `files`: what was scanned is what is loaded
* `pickles`, `torch_guard`, `joblib_files`: the loaders that are guarded
"""
