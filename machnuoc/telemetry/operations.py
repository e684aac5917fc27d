"""What writes in this room, found at start-up for the sentences of the journal: each area has its own module."""

from machnuoc.telemetry import alarm_operations as alarm_operations
from machnuoc.telemetry import credentials as credentials
from machnuoc.telemetry import device_operations as device_operations
