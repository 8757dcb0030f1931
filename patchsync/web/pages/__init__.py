"""What each page shows: a function of the site and the request. It runs in a worker process."""
