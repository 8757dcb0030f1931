"""The stand-in and real Patchworks, held to one contract."""
