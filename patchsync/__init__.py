"""Keeps PaStA and Patchwork in step."""

import os

# For each command pydantic would look for its plugins in all packages that are installed.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
