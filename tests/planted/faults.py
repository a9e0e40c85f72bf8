"""All faults that are planted."""

from __future__ import annotations

from tests.planted import (
    plant_beside,
    plant_caches,
    plant_configuration,
    plant_interface,
    plant_precisions,
    plant_sizes,
    plant_traces,
    plant_weights,
)
from tests.planted.fault import Fault

FAULTS: tuple[Fault, ...] = (
    *plant_weights.FAULTS,
    *plant_configuration.FAULTS,
    *plant_interface.FAULTS,
    *plant_caches.FAULTS,
    *plant_sizes.FAULTS,
    *plant_precisions.FAULTS,
    *plant_traces.FAULTS,
    *plant_beside.FAULTS,
)
