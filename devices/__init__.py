"""Paper, beeps and numbers: the hardware of a shop."""
