"""What a run of a container needs and leaves: bundle, launcher, monitor, journal, processes."""
