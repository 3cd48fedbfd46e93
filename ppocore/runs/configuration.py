"""Define the configuration of a run, which ``config.json`` stores, including when the run is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from typing import Any

from ppocore.config import PPOConfig
from ppocore.errors import UsageError
from ppocore.training import Runtime

_RENAMED = {"kl_target": "kl_penalty_target", "desired_kl": "adaptive_lr_kl"}
_RUNTIME_SETTINGS = ("vectorization", "env_timeout", "threads")  # were settings of the algorithm once


def current_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a file of any version by current name, and those that now belong to `Runtime`."""
    renamed = {_RENAMED.get(name, name): value for name, value in settings.items()}
    runtime = {name: renamed.pop(name) for name in _RUNTIME_SETTINGS if name in renamed}
    return renamed, runtime


@dataclass(frozen=True)
class Saving:
    """Configure when a run is saved, and how many checkpoints are kept.

    Attributes:
        every: iterations between checkpoints, which are at most a minute apart; 0 for none before the end.
        keep: number of newest checkpoints to keep, in addition to the best.
        evaluate_episodes: number of evaluated episodes by whose mean return checkpoints are ranked; 0 to rank them by
            the mean return of the last 100 training episodes.
    """

    every: int = 50
    keep: int = 3
    evaluate_episodes: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least in (("every", 0), ("keep", 1), ("evaluate_episodes", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                shown = {"every": "checkpoint_every"}.get(name, name)
                raise UsageError(f"{shown}={value!r} must be an integer, at least {least}")

    def replace(self, **changes: int | None) -> Saving:
        """Return a copy with the changes that are not None."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


@dataclass(frozen=True)
class RunConfiguration:
    """Describe a run completely enough to repeat or resume it.

    Attributes:
        env: the environment's id, or the name of the callable, vector environment or collector.
        env_given_as: ``id``, ``callable``, ``vector`` (a Gymnasium ``VectorEnv``) or ``collector``.
        env_kwargs: arguments of the environment's constructor; the string ``not JSON`` if JSON cannot represent them.
        seed: the seed of every random number.
        config: the settings that determine the result.
        runtime: the fields of the `Runtime` by name, with the backend's name.
        own_network: whether the network is the user's own.
        saving: when the run is saved.
        resumed: one entry for each time the run was resumed with another backend or other settings: its step count
            and the backend.
        wrappers: the environment's wrappers, each with its name and arguments, the innermost first.
    """

    env: str
    env_given_as: str
    env_kwargs: dict[str, Any] | str | None
    seed: int
    config: PPOConfig
    runtime: dict[str, Any]
    own_network: bool = False
    saving: Saving = Saving()
    resumed: list[dict[str, Any]] = field(default_factory=list)
    wrappers: list[dict[str, Any]] = field(default_factory=list)

    def how_to_resume(self, path: str | PathLike[str]) -> str:
        """Return the command that resumes the run in ``path``, or the call where it needs what no option can give."""
        kind = {"id": "", "collector": ", collector=..."}.get(self.env_given_as, ", env=...")
        if kind or self.own_network:
            return f"ppocore.resume({str(path)!r}{kind}{', backend=...' if self.own_network else ''})"
        return f"ppocore resume {path}{f' --env {self.env}' if ':' in self.env else ''}"

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as a JSON object."""
        return {**asdict(self), "config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> RunConfiguration:
        """Invert `to_dict`; a ``config.json`` of an older version is accepted too.

        Raises:
            KeyError, TypeError, ValueError: not the configuration of a run.
        """
        settings, runtime = current_settings(content["config"])
        runtime |= {name: content[name] for name in ("backend", "device") if name in content}
        runtime |= content.get("runtime", {})
        Runtime().replace(**runtime)  # raises if a file holds what no runtime has
        env_kwargs = content.get("env_kwargs")
        if not isinstance(env_kwargs, dict | str | None):
            raise ValueError("env_kwargs is not a JSON object")
        return cls(
            env=str(content["env"]),
            env_given_as=str(content.get("env_given_as", "id")),
            env_kwargs=env_kwargs,
            seed=int(content["seed"]),
            config=PPOConfig.from_dict(settings),
            runtime=runtime,
            own_network=bool(content.get("own_network", False)),
            saving=Saving(**content.get("saving", {})),
            resumed=list(content.get("resumed", content.get("continued", []))),
            wrappers=_wrappers(content.get("wrappers", [])),
        )

    def recorded_runtime(self) -> Runtime:
        """Return the latest runtime of the run."""
        return Runtime().replace(**self.runtime)


def _wrappers(content: Any) -> list[dict[str, Any]]:
    if not isinstance(content, list) or not all(
        isinstance(w, dict)
        and set(w) == {"name", "kwargs"}
        and isinstance(w["name"], str)
        and isinstance(w["kwargs"], dict)
        for w in content
    ):
        raise ValueError("wrappers is not a list of objects with a name and kwargs")
    return content


def runtime_as_json(runtime: Runtime, backend: str) -> dict[str, Any]:
    """Return the fields of a runtime, with the backend's name."""
    return {**vars(runtime), "backend": backend}
