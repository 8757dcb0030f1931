"""Keeps the store in step with a Patchwork: compare, fetch, store, audit."""
