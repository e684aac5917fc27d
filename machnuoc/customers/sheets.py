"""The workbooks that `machnuoc template` writes for this room."""

from machnuoc.customers import connection_sheets, reading_sheets

__all__ = ["connection_sheets", "reading_sheets"]
