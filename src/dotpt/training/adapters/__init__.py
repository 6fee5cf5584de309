"""dotpt under the training managers of others: what they save is saved by us, and what they resume from is whole.

A module each, which can be imported where its library is installed: `lightning`, `transformers`, `accelerate`,
`ignite`. They share `torch_saver` (saves of one file) and `folders` (saves of a folder).
"""
