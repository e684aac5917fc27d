"""What can be expected to go wrong in this room. Its text is shown as it is."""


class CustomersError(Exception):
    """An act on customers, connections, meters, readings or requests that cannot be done, with what to do instead."""
