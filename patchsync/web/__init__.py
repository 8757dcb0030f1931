"""The pages: what changed since the last revision, and what became of a patch. They only read."""
