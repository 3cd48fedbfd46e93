"""Wrap environments in wrappers that are given by name, so that a file can record them."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import gymnasium as gym

from ppocore.errors import UsageError

_TEXT = re.compile(r"(?P<name>[A-Za-z_][\w.]*(?::[A-Za-z_][\w.]*(?=:|$))?)(?::(?P<arguments>.*))?", re.DOTALL)


def read_wrappers(given: Iterable[Any]) -> list[dict[str, Any]]:
    """Return wrappers as JSON can hold them, each ``{"name": NAME, "kwargs": {...}}``, the innermost first.

    Args:
        given: each ``"NAME"`` or ``"NAME:KEY=VALUE,KEY=VALUE"``, or such a dictionary. A name is one of
            `gymnasium.wrappers`, or ``module:Class``; a value is JSON, else a string.

    Raises:
        UsageError: not a wrapper's name, or arguments that JSON cannot hold.
    """
    if isinstance(given, str | Mapping):
        given = [given]
    if callable(given) or not isinstance(given, Iterable):
        raise UsageError(f"wrappers={given!r} must be a list of names, such as ['TimeLimit:max_episode_steps=100']")
    return [_read(wrapper) for wrapper in given]


def made_with(
    env: Any,
    env_kwargs: Mapping[str, Any] | None = None,
    wrappers: Iterable[Any] = (),
    *,
    max_episode_steps: int | None = None,
    observation_keys: Iterable[str] | None = None,
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Return the constructor's arguments and the wrappers of an environment with these limits.

    Args:
        env: the environment's id, or what makes it.
        env_kwargs: arguments of its constructor.
        wrappers: wrappers, as in `read_wrappers`.
        max_episode_steps: the time limit of an episode, in place of the registered one.
        observation_keys: the entries of a dictionary of observations to keep, for the innermost wrapper to select.

    Raises:
        UsageError: a limit or keys that cannot be used.
    """
    around = read_wrappers(wrappers)
    if observation_keys is not None:
        keys = [observation_keys] if isinstance(observation_keys, str) else list(observation_keys)
        if not keys or not all(isinstance(key, str) for key in keys):
            raise UsageError(f"observation_keys={keys!r} must be names of entries of the observation, at least one")
        around.insert(0, {"name": "FilterObservation", "kwargs": {"filter_keys": keys}})
    if max_episode_steps is None:
        return (None if env_kwargs is None else dict(env_kwargs)), around
    if isinstance(max_episode_steps, bool) or not isinstance(max_episode_steps, int) or max_episode_steps < 1:
        raise UsageError(f"max_episode_steps={max_episode_steps!r} must be an integer, at least 1")
    if isinstance(env, str):  # `gymnasium.make` replaces the registered limit
        return {**(env_kwargs or {}), "max_episode_steps": max_episode_steps}, around
    around.append({"name": "TimeLimit", "kwargs": {"max_episode_steps": max_episode_steps}})
    return (None if env_kwargs is None else dict(env_kwargs)), around


def _read(wrapper: Any) -> dict[str, Any]:
    if isinstance(wrapper, str):
        match = _TEXT.fullmatch(wrapper)
        if match is None:
            raise UsageError(f"wrapper {wrapper!r} is not written NAME:KEY=VALUE,KEY=VALUE")
        return {"name": match["name"], "kwargs": read_arguments([match["arguments"]] if match["arguments"] else [])}
    if isinstance(wrapper, Mapping) and set(wrapper) <= {"name", "kwargs"} and isinstance(wrapper.get("name"), str):
        kwargs = wrapper.get("kwargs") or {}
        try:
            if isinstance(kwargs, Mapping):
                return {"name": wrapper["name"], "kwargs": json.loads(json.dumps(dict(kwargs), allow_nan=False))}
        except (TypeError, ValueError):
            pass
        raise UsageError(f"the arguments of wrapper {wrapper['name']} are {kwargs!r}, which JSON cannot represent")
    hint = "; to use a class, wrap in a callable: train(lambda: Wrapper(gymnasium.make(...)))"
    raise UsageError(f"wrapper {wrapper!r} is not a name such as 'TimeLimit:max_episode_steps=100'{hint}")


def read_arguments(texts: Iterable[str]) -> dict[str, Any]:
    """Return arguments given as JSON objects, or as ``KEY=VALUE`` separated by commas.

    Raises:
        UsageError: text that is neither.
    """
    found: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            try:
                found |= json.loads(text)
            except (ValueError, RecursionError) as error:
                raise UsageError(f"the arguments {text[:60]!r} are not valid JSON: {error}") from error
            continue
        for pair in _split(text):
            key, equals, value = pair.partition("=")
            if not equals or not key.strip().isidentifier():
                raise UsageError(
                    f"the argument {pair[:60]!r} is not written KEY=VALUE; JSON is accepted, too: '{{\"KEY\": VALUE}}'"
                )
            found[key.strip()] = _value(value)
    return found


def _split(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == '"'
        depth += (character in "[{") - (character in "]}") if not quoted else 0
        if character == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        named = {"True": True, "False": False, "None": None}
        return named.get(text, text)


def wrapper_class(name: str) -> Callable[..., gym.Env[Any, Any]]:
    """Return the class of a wrapper's name.

    Raises:
        UsageError: no such wrapper.
    """
    module_name, _, attribute = name.rpartition(":")
    if module_name:
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            raise UsageError(
                f"the module {module_name!r} of the wrapper {name!r} cannot be imported: {error}"
            ) from error
        found: Any = getattr(module, attribute, None)
        if not callable(found):
            raise UsageError(f"{module_name} has no wrapper {attribute}: name a class of it")
        maker: Callable[..., gym.Env[Any, Any]] = found
        return maker
    known = {
        name: value
        for name, value in vars(gym.wrappers).items()
        if isinstance(value, type) and issubclass(value, gym.Wrapper)
    }
    if attribute not in known:
        close = get_close_matches(attribute, known, n=1)
        hint = f"did you mean {close[0]}?" if close else "give one of gymnasium.wrappers, or MODULE:CLASS"
        raise UsageError(f"there is no wrapper {attribute!r}; {hint}")
    return known[attribute]


class Wrapped:
    """Make an environment and wrap it; a class, so that a worker process can be given one."""

    def __init__(self, make: Callable[[], gym.Env[Any, Any]], wrappers: Iterable[Mapping[str, Any]]) -> None:
        self._make = make
        self._wrappers = [(w["name"], wrapper_class(w["name"]), _tuples(w["kwargs"])) for w in wrappers]

    def __call__(self) -> gym.Env[Any, Any]:
        """Return a new environment, wrapped."""
        environment = self._make()
        for name, wrapper, kwargs in self._wrappers:
            try:
                environment = wrapper(environment, **kwargs)
            except Exception as error:
                environment.close()
                reason = " ".join(f"{type(error).__name__}: {error}".split())
                raise UsageError(f"the wrapper {name} cannot be used ({reason}): change its arguments") from error
            if not isinstance(environment, gym.Env):
                raise UsageError(f"the wrapper {name} returned {environment!r}, which is not an environment")
        return environment


def _tuples(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return arguments with tuples for lists, which some wrappers ask for."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in kwargs.items()}
