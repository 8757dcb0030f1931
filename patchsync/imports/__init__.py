"""Taking in a dumparchive: what `manage.py dumparchive` wrote, of any size, into PaStA's store."""
