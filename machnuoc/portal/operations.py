"""What writes in this room, found at start-up for the sentences of the journal: each area has its own module."""

from machnuoc.portal import account_operations as account_operations
from machnuoc.portal import bill_notices as bill_notices
from machnuoc.portal import sessions as sessions
