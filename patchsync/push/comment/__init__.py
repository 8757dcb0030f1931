"""Comments: mails to the lists, each said once."""
