"""Start the resolver process and send it the names of containers."""
