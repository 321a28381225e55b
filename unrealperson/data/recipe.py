"""The recipe of a crop: the configuration that makes it again, as the JSON text of the manifest's column `recipe`."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from unrealperson.config import CropConfig, SynthConfig

FREE_KEYS = ("workers", "timeout_s")
"""Keys of [synth] that do not change the output."""
LATER_KEYS: dict[str, Any] = {"riders": 0.0, "surfaces": "", "groups": ()} | {
    key.name: key.default
    for key in dataclasses.fields(SynthConfig)
    if key.name.startswith("sensor_") or key.name == "camera_height_m"
}
"""Keys of [synth] that older sets lack, and what they mean by it; recipes that say the same leave them out."""


def write_recipe(synth: SynthConfig, rules: CropConfig) -> str:
    """What makes a crop again.

    Args:
        synth: configuration of the frames.
        rules: configuration of the crops.
    """
    made = {key: value for key, value in dataclasses.asdict(synth).items() if key not in FREE_KEYS}
    made = {key: value for key, value in made.items() if key not in LATER_KEYS or value != LATER_KEYS[key]}
    return json.dumps({"synth": made, "crop": dataclasses.asdict(rules)}, sort_keys=True)


def read_recipe(text: str, where: str) -> dict[str, Any]:
    """The sections "synth" and "crop" as `parse_config` takes them, with what the text leaves out.

    Args:
        text: as `write_recipe` gives it, in this release or an earlier one.
        where: what it is, for the message.

    Raises:
        ValueError: it is damaged.
    """
    try:
        stored = json.loads(text)
        synth, rules = (dict(stored.get(section, {})) for section in ("synth", "crop"))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{where} is damaged: {error}") from error
    return {**stored, "synth": LATER_KEYS | synth, "crop": rules}
