"""The builtin engine: PaStA's groups, brought up to date by what is new alone."""
