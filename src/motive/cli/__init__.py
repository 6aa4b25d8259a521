"""The command line: one thin command per verb, over the functions that a notebook would call."""
