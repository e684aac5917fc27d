"""What the customers' pages refuse, with a text for the customer."""


class PortalError(Exception):
    """Something a customer asked for is not done; the text, in Vietnamese, says what, why and what next."""
