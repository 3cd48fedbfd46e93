"""What a run keeps on disk: its directory, checkpoints and metrics, and how runs are resumed and compared."""
