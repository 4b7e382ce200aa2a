"""Paper, beeps and numbers: the hardware of a shop."""

from devices import faults as faults
