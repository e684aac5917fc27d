"""What notices add to the erasure of a customer's data."""

from collections.abc import Iterator

from machnuoc.customers import notice_operations
from machnuoc.customers.models import Customer


def erase_customer(customer: Customer) -> Iterator[int]:
    yield notice_operations.forget_addresses(customer)
