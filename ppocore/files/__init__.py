"""Read and write files that are whole or absent: atomic writes, tensors with a checksum, and their names."""

from ppocore.files.atomic import write_atomically
from ppocore.files.names import BEST_FILE, RUN_FORMAT, run_file, run_files
from ppocore.files.regular import (
    SMALL,
    check_replaceable,
    check_target,
    open_regular,
    own_copy,
    own_lock,
    read_lines_of,
    read_regular,
    unwritable,
)
from ppocore.files.schema import parse_json, tensor
from ppocore.files.tensor_file import Format, TensorFile, encode, part, read

__all__ = [
    "BEST_FILE",
    "RUN_FORMAT",
    "SMALL",
    "Format",
    "TensorFile",
    "check_replaceable",
    "check_target",
    "encode",
    "open_regular",
    "own_copy",
    "own_lock",
    "parse_json",
    "part",
    "read",
    "read_lines_of",
    "read_regular",
    "run_file",
    "run_files",
    "tensor",
    "unwritable",
    "write_atomically",
]
