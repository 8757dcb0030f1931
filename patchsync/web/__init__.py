"""The pages that show revisions, diffs and the state of the projects: read-only, over HTTP."""
