"""Files that are whole or absent: atomic writes, tensors with a checksum, and their names."""
