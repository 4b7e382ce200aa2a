"""Head office: the chain seen from above."""
