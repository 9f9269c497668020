"""What Docker's clients send, and what they expect to come back."""
