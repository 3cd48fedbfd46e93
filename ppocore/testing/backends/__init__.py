"""Properties that every backend must have."""
