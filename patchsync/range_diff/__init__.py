"""What changed between two revisions of a patch, as `git range-diff` tells it, without a tree."""
