"""The corpus: what the tests read and write.

What torch writes                       objects.py x variants.py, script.py, folders.py
What torch wrote before 1.6             legacy_tar.py (0.1), old.py (0.2 and 0.3, Python 2)
What nobody should write                pickles.py and streams.py (opcodes), zip_mutations.py (archives)
What torch wrote, kept as bytes         fixtures/ by make_fixtures.py; stored.py reads their index
How two loaded graphs are compared      compare.py

`pickles`, `streams`, `torch_zip`, `zip_mutations`, `old`, `legacy_tar` and `stored` need no torch.
"""
