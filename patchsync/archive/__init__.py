"""The initial import: reading what Patchwork's `manage.py dumparchive` writes, of any size."""
