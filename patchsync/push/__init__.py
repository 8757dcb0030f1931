"""PaStA's results in Patchwork: what should be there and is not, and the requests for it."""
