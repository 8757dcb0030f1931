"""The Celery side of patchsync: thin tasks over the domain. The app is in `workers.celery`."""
