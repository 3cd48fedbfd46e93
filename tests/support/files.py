"""Change what a file of ours says, under a right checksum."""

import json

from safetensors import safe_open
from safetensors.numpy import load_file

from ppocore.files import encode


def changed(file, change, form):
    """Rewrite a file after ``change(tensors, description)``, which may set another version than the newest."""
    with safe_open(file, framework="numpy") as opened:
        description = json.loads(opened.metadata()["ppocore"])
    tensors, before = load_file(file), description["version"]
    change(tensors, description)
    if description["version"] != before:
        form = form._replace(versions=(description["version"],))
    for name in ("checksum", "format", "version"):
        del description[name]
    file.write_bytes(encode(form, tensors, description))
    return file
