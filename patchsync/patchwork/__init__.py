"""A Patchwork instance as a guest sees it: what it lists, its mails, and how often we may ask."""
