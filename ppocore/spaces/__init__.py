"""Describe observations, actions and masks as plain data, without Gymnasium."""

from ppocore.spaces.action_adapter import CONTINUOUS_POLICIES, ActionAdapter
from ppocore.spaces.action_spaces import (
    ActionSpace,
    BoxAction,
    DiscreteAction,
    MultiBinaryAction,
    MultiDiscreteAction,
)
from ppocore.spaces.fitting import fitted
from ppocore.spaces.masks import every_choice, leaves_nothing, read_mask
from ppocore.spaces.observation_mapping import ObservationMapping
from ppocore.spaces.observation_spaces import (
    ArraySpace,
    BoxObservation,
    ChoiceSpace,
    DictObservation,
    DiscreteObservation,
    MultiBinaryObservation,
    MultiDiscreteObservation,
    ObservationSpace,
    TupleObservation,
    entry,
    part_name,
)

__all__ = [
    "CONTINUOUS_POLICIES",
    "ActionAdapter",
    "ActionSpace",
    "ArraySpace",
    "BoxAction",
    "BoxObservation",
    "ChoiceSpace",
    "DictObservation",
    "DiscreteAction",
    "DiscreteObservation",
    "MultiBinaryAction",
    "MultiBinaryObservation",
    "MultiDiscreteAction",
    "MultiDiscreteObservation",
    "ObservationMapping",
    "ObservationSpace",
    "TupleObservation",
    "entry",
    "every_choice",
    "fitted",
    "leaves_nothing",
    "part_name",
    "read_mask",
]
