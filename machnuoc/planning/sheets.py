"""The workbooks that `machnuoc template` writes for planning: each area's module registers its own."""

from machnuoc.planning import task_sheets

__all__ = ["task_sheets"]
