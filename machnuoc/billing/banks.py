"""Banks that a VietQR transfer can go to, by their BIN (data/bank_bins.csv, which names its sources)."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Bank:
    """name: as the State Bank's letter has it. short_name: as applications show it."""

    bank_bin: str
    name: str
    short_name: str


@cache
def list_banks() -> tuple[Bank, ...]:
    """Return all banks in the order of their short names."""
    text = resources.files("machnuoc.billing").joinpath("data/bank_bins.csv").read_text(encoding="utf-8")
    banks = [Bank(row["bin"], row["official_name_vi"], row["short_name"]) for row in csv.DictReader(text.splitlines())]
    return tuple(sorted(banks, key=lambda bank: bank.short_name.casefold()))


def short_name(bank_bin: str) -> str:
    """Return the short name of a bank, "" if the BIN is not known.

    >>> short_name("970415"), short_name("000000")
    ('VietinBank', '')
    """
    return next((bank.short_name for bank in list_banks() if bank.bank_bin == bank_bin), "")
