"""Export policies for other programs."""
