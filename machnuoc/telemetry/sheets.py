"""The workbooks that `machnuoc template` writes for this room."""

from machnuoc.telemetry import device_sheets

__all__ = ["device_sheets"]
