"""Load tests: many callers, many containers and many killed daemons at once."""
