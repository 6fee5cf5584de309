"""Files that hold files: every place that any reader may take for a member is looked into.

* `zips`: all kinds of zip, by `zip_views` (where members may be), `zip_content`, `zip_kinds`    * `tars`, `packed`
* `exported`, `packages`, `old_scripts`, `distributed`: torch's other archives    * `script_code`: TorchScript's code
* `numpy_files`, `joblib_files`: pickles and arrays
"""
