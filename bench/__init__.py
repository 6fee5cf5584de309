"""dotpt beside its peers, in one run. `python -m bench` prints the table; a timing is never a test."""
