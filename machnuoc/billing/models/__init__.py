"""Prices, bills, e-invoices, the ledger, payments and debts."""

from machnuoc.billing.models.bills import Bill, BillingRun, BillLine, EInvoice, RunSkip
from machnuoc.billing.models.corrections import Correction
from machnuoc.billing.models.documents import EInvoiceDay, PrintBatch
from machnuoc.billing.models.figures import ReadUpTo, WorkMonth
from machnuoc.billing.models.payments import (
    Account,
    Allocation,
    BankLine,
    BankStatement,
    Callback,
    CollectionSheet,
    DebtCase,
    DebtStep,
    GatewayOrder,
    Payment,
    PaymentReversal,
    Posting,
    Refund,
    TillSession,
)
from machnuoc.billing.models.remote import RemoteMeter
from machnuoc.billing.models.settlements import GatewaySettlement, SettlementItem, SettlementReversal
from machnuoc.billing.models.tariffs import (
    Area,
    BillingProfile,
    FeeRule,
    InvoiceSeries,
    PriceFrame,
    Tariff,
    TariffPrice,
)

__all__ = [
    "Account",
    "Allocation",
    "Area",
    "BankLine",
    "BankStatement",
    "Bill",
    "BillLine",
    "BillingProfile",
    "BillingRun",
    "Callback",
    "CollectionSheet",
    "Correction",
    "DebtCase",
    "DebtStep",
    "EInvoice",
    "EInvoiceDay",
    "FeeRule",
    "GatewayOrder",
    "GatewaySettlement",
    "InvoiceSeries",
    "Payment",
    "PaymentReversal",
    "Posting",
    "PriceFrame",
    "PrintBatch",
    "ReadUpTo",
    "Refund",
    "RemoteMeter",
    "RunSkip",
    "SettlementItem",
    "SettlementReversal",
    "Tariff",
    "TariffPrice",
    "TillSession",
    "WorkMonth",
]
