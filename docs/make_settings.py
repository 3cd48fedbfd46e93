"""Write docs/settings.md from PPOConfig and the presets: python docs/make_settings.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from ppocore import PPOConfig, Runtime
from ppocore.presets import PRESETS

TARGET = Path(__file__).with_name("settings.md")


def page() -> str:
    """The whole page."""
    lines = [
        "# Settings",
        "",
        "Every field of `ppocore.PPOConfig`; on the command line `--kebab-case`, for switches also `--no-...`.",
        "Made by `python docs/make_settings.py`.",
        "",
        "| setting | default | meaning | source of the default |",
        "|---|---|---|---|",
    ]
    lines += _rows(PPOConfig)
    lines += [
        "",
        "*37 details*: Huang et al., *The 37 Implementation Details of Proximal Policy Optimization*, ICLR Blog",
        "Track, 2022; *core 6* is the sixth of its core details.",
        "",
        "## Runtime",
        "",
        "How a run is computed, which does not decide its result: fields of `ppocore.Runtime`, given as",
        "`train(runtime=...)` or as options, and free to change when a run is resumed.",
        "",
        "| setting | default | meaning | see |",
        "|---|---|---|---|",
        *_rows(Runtime),
        "",
        "## Presets",
        "",
        "Used if the environment has one, also if its id is given without a version. Settings given one by one, as",
        "options or as `train(env, gamma=0.9)`, lie over the preset. Without it: `--no-preset`, `use_preset=False`, or",
        "a whole `PPOConfig`. The first line of a run says which preset applies, or that there is none.",
        "",
        "| setting | " + " | ".join(PRESETS) + " |",
        "|---" * (len(PRESETS) + 1) + "|",
    ]
    used = [f.name for f in dataclasses.fields(PPOConfig) if any(f.name in changes for changes in PRESETS.values())]
    for name in used:
        cells = [f"`{_shown(changes[name])}`" if name in changes else "" for changes in PRESETS.values()]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _rows(settings: type[PPOConfig] | type[Runtime]) -> list[str]:
    """One row for each field."""
    rows = []
    for field in dataclasses.fields(settings):
        row = (f"`{field.name}`", f"`{_shown(field.default)}`", field.metadata["help"], field.metadata["source"])
        rows.append("| " + " | ".join(row) + " |")
    return rows


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:_}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


if __name__ == "__main__":
    TARGET.write_text(page())
