"""Taking in a dumparchive: what is in it, what is in doubt, and its way through the fleet."""
