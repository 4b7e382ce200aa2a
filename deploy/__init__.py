"""Running it: demo, set-up scripts, service units."""
