"""Which mails are revisions of one patch: what PaStA's analysis found, and in which files."""
