"""Read and write files that are whole or absent: atomic writes, tensors with a checksum, and their names."""

from ppocore.files.atomic import write_atomically
from ppocore.files.names import BEST_FILE, RUN_FORMAT, run_file, run_files
from ppocore.files.tensor_file import Format, TensorFile, encode, part, read

__all__ = [
    "BEST_FILE",
    "RUN_FORMAT",
    "Format",
    "TensorFile",
    "encode",
    "part",
    "read",
    "run_file",
    "run_files",
    "write_atomically",
]
