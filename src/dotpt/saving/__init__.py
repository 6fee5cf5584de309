"""Objects on their way into a file: what torch's and numpy's values become, and the verb `dotpt.save`."""
