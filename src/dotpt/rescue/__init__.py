"""Whole modules without their code: inert records of pickled modules in; their state dict, tree and values out.

Invariant: nothing here imports torch or anything that a file names.
"""
