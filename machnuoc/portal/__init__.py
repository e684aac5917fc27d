"""What the public and the customers see: the customer portal."""
