"""The worker agent: one per host; starts, watches and restarts executors, and imports no framework."""
