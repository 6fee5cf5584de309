"""Models and their weights: find the weights in any file, rename them, fit them into a model, save models that travel.

What crosses this boundary: files, archives and state dicts in; a model with its weights, and a report of what was
done, out. Invariant: nothing is silent; a tensor that was renamed, cast, cut or left out is in the report.
"""
