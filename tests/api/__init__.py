"""Test the requests of Docker's clients, and the answers that they expect."""
