"""The algorithm: collect a rollout, estimate advantages, update; it knows no files."""
