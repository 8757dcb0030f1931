"""Keeps PaStA and Patchwork in step."""
