"""What a run was asked to be, as ``config.json`` holds it, and when it is saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ppocore.config import PPOConfig
from ppocore.errors import UsageError
from ppocore.training import Runtime

_RENAMED = {"kl_target": "kl_penalty_target", "desired_kl": "adaptive_lr_kl"}
_OF_THE_RUNTIME = ("vectorization", "env_timeout", "threads")


def current_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of a file of any version by today's names, and those that the runtime has today."""
    renamed = {_RENAMED.get(name, name): value for name, value in settings.items()}
    runtime = {name: renamed.pop(name) for name in _OF_THE_RUNTIME if name in renamed}
    return renamed, runtime


@dataclass(frozen=True)
class Saving:
    """When a run is saved, and how many checkpoints are kept.

    Attributes:
        every: iterations from one checkpoint to the next, and a minute at most; 0 for none before the end.
        keep: how many of the newest are kept, beside the best.
        evaluate_episodes: the best checkpoint is the one whose policy does best in so many evaluated episodes; 0: the
            one with the highest mean return of the last 100 training episodes.
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
        """Return a copy with those changed that are not None."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


@dataclass(frozen=True)
class RunConfiguration:
    """What it takes to repeat a run, and to resume it.

    Attributes:
        env: the environment's id, or the name of what made the environments.
        env_given_as: ``id``, ``callable``, ``vector`` (a Gymnasium ``VectorEnv``) or ``collector``.
        env_kwargs: arguments for making the environment; the text ``not JSON`` where JSON cannot hold them.
        seed: of every random number.
        config: the settings, which decide the result.
        runtime: how it is computed: the runtime's fields by name, the backend by its name.
        own_network: whether the user brought the network.
        saving: when it is saved.
        resumed: for each time that the run was resumed with another backend or other settings, after how many steps
            and with which backend.
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

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON can hold it."""
        return {**asdict(self), "config": self.config.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> RunConfiguration:
        """Read what `to_dict` gave, or a ``config.json`` of an older version.

        Raises:
            KeyError, TypeError, ValueError: it is not a run's configuration.
        """
        settings, runtime = current_settings(content["config"])
        runtime |= {name: content[name] for name in ("backend", "device") if name in content}
        runtime |= content.get("runtime", {})
        env_kwargs = content.get("env_kwargs")
        if not isinstance(env_kwargs, dict | str | None):
            raise ValueError("env_kwargs is not an object")
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
        )

    def recorded_runtime(self) -> Runtime:
        """Return the runtime that the run had last."""
        return Runtime().replace(**self.runtime)


def runtime_as_json(runtime: Runtime, backend: str) -> dict[str, Any]:
    """Return the fields of a runtime, its backend by name."""
    return {**vars(runtime), "backend": backend}
