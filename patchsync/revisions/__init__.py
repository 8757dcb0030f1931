"""Which revisions a patch has, what they have in common, and what became of them."""
