"""``GET /events``: Docker's stream of events, read from the log."""
