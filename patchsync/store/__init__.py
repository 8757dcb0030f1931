"""PaStA's store: its mails, its index, and what patchsync keeps beside them."""
