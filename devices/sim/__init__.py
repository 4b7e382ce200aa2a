"""A virtual shop: every device on ptys and sockets, speaking bytes."""
