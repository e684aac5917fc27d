"""What can be expected to go wrong in this room. Its text is shown as it is."""


class BillingError(Exception):
    """An act on tariffs, bills, payments or debts that cannot be done, with what to do instead."""
