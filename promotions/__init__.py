"""What does this basket cost, and why. Pure."""
