"""The workbooks that `machnuoc template` writes for billing: each area's module registers its own."""

from machnuoc.billing import tariff_sheets

__all__ = ["tariff_sheets"]
