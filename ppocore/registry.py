"""Find backends by name: built-in ones, ones registered in this process, and ones of installed packages."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple

from ppocore.backend import Backend, BackendFactory
from ppocore.errors import MissingBackendError, UsageError
from ppocore.networks import NetworkSpec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINT_GROUP = "ppocore.backends"


class Framework(NamedTuple):
    """Describe the framework of a built-in backend: a module, the distributions with it, and the minimum version."""

    module: str
    distributions: tuple[str, ...]
    minimum: tuple[int, int]


BUILT_IN = {
    "numpy": "ppocore.backends.numpy_backend:NumpyBackend",
    "torch": "ppocore.backends.torch_backend:TorchBackend",
    "paddle": "ppocore.backends.paddle_backend:PaddleBackend",
    "jax": "ppocore.backends.jax_backend:JaxBackend",
}
FRAMEWORKS = {
    "torch": Framework("torch", ("torch",), (2, 4)),
    "paddle": Framework("paddle", ("paddlepaddle", "paddlepaddle-gpu"), (3, 0)),
    "jax": Framework("jax", ("jax",), (0, 10)),
}
NEEDED_TO_TRAIN = ("name", "own_network", "using_threads", "update", "weights", "state", "load_state")
EVERY_METHOD = (*NEEDED_TO_TRAIN, "forward", "evaluate", "gradients")

_registered: dict[str, BackendFactory] = {}


def register_backend(name: str, factory: BackendFactory) -> None:
    """Register ``factory`` under ``name`` in this process.

    An installed package registers a backend with an entry point in the group ``ppocore.backends``:
    ``name = "module:Class"``.

    Raises:
        TypeError: ``factory`` is not callable.
        UsageError: the name is taken.
    """
    if not callable(factory):
        raise TypeError(f"the factory of backend {name!r} must be callable, not {type(factory).__name__}")
    if name in available_backends():
        raise UsageError(f"a backend named {name!r} already exists: choose another name")
    _registered[name] = factory


def available_backends() -> dict[str, str | None]:
    """Return every known backend by name, with a hint for one that cannot be used here, else None; imports nothing."""
    names = [*BUILT_IN, *_entry_points(), *_registered]
    return {name: _missing(name) for name in names}


def backend_factory(name: str) -> BackendFactory:
    """Import and return the factory of the backend ``name``.

    Raises:
        UsageError: no such backend; the message lists the known names.
        MissingBackendError: its framework is missing or too old; the message names the extra to install.
    """
    check_backend_name(name)
    if name in _registered:
        return _registered[name]
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        factory: BackendFactory = getattr(importlib.import_module(module), attribute)
        return factory
    loaded: BackendFactory = _entry_points()[name].load()
    return loaded


def make_backend(
    factory: BackendFactory,
    spec: NetworkSpec,
    *,
    precision: str = "exact",
    adam_epsilon: float = 1e-5,
    device: str = "cpu",
    needed: Sequence[str] = NEEDED_TO_TRAIN,
) -> Backend:
    """Make a backend, and check that it has the methods that are needed.

    Raises:
        UsageError: it cannot be made with these arguments, or lacks methods; the message names all of them.
    """
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):  # of a class that is not written in Python
        signature = None
    if signature is not None:
        try:
            signature.bind(spec, precision=precision, adam_epsilon=adam_epsilon, device=device)
        except TypeError as error:
            raise UsageError(
                f"backend {backend_label(factory)} cannot be made ({error}): it must take (spec, *, precision, "
                "adam_epsilon, device)"
            ) from error
    backend = factory(spec, precision=precision, adam_epsilon=adam_epsilon, device=device)
    missing = [name for name in needed if _is_missing(backend, name)]
    if missing:
        raise UsageError(
            f"backend {backend_label(factory)} has no {', '.join(missing)}: see ppocore.backend.Backend for what each "
            "does, and `ppocore check-backend --skeleton` for a class to fill in"
        )
    return backend


def _is_missing(backend: object, name: str) -> bool:
    """Return whether an attribute is missing, or only inherited from the protocol, where it does nothing."""
    if name == "own_network":
        return not hasattr(backend, name)
    found = getattr(type(backend), name, None)
    return not hasattr(backend, name) or (found is not None and found is vars(Backend).get(name))


def backend_label(factory: BackendFactory) -> str:
    """Return the name of a factory for a message."""
    return str(getattr(factory, "__qualname__", type(factory).__name__))


def check_backend_name(name: str) -> None:
    """Check, without importing anything, that a backend can be used.

    Raises:
        UsageError, MissingBackendError: as in `backend_factory`.
    """
    known = available_backends()
    if name not in known:
        raise UsageError(f"there is no backend {name!r}{closest(name, known)} (choose from: {', '.join(known)})")
    if known[name] is not None:
        raise MissingBackendError(f"backend {name!r} cannot be used: {known[name]}")


def _missing(name: str) -> str | None:
    """Return why a backend cannot be used here, and the remedy; None if it can be used."""
    framework = FRAMEWORKS.get(name)
    if framework is None:
        return None
    from importlib import metadata  # only where it is needed, because it imports 50 modules

    remedy = f"pip install 'ppocore[{name}]'"
    if importlib.util.find_spec(framework.module) is None:
        return f"{framework.module} is not installed: {remedy}"
    for distribution in framework.distributions:
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
        major, minor = (int(part) for part in version.split(".")[:2])
        if (major, minor) < framework.minimum:
            needed = ".".join(map(str, framework.minimum))
            return f"{distribution} {version} is too old, {needed} is needed: {remedy}"
    return None


def _entry_points() -> dict[str, EntryPoint]:
    return {name: point for name, point in entry_points(ENTRY_POINT_GROUP).items() if name not in BUILT_IN}


def entry_points(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group in installed packages, by name."""
    from importlib import metadata

    return {point.name: point for point in metadata.entry_points(group=group)}


def closest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" with the closest known name, or an empty string if none is close."""
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
