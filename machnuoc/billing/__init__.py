"""Tariffs, billing runs, bills, e-invoices, the ledger, payments and debts."""
