"""A virtual shop: every device on ptys and sockets, speaking bytes.

`python -m devices.sim` runs one with a page; `devices.sim.store.VirtualShop` is its class.
Nothing here replaces a driver: the real drivers open these ports and cannot tell the difference.
The printer is strict, so a byte that it does not know is a fault, on the page and in the tests.
"""
