"""Customers, their connections and meters, readings, requests and complaints."""

from machnuoc.customers.models.connections import (
    Application,
    ApplicationMessage,
    ApplicationStep,
    Connection,
    ConnectionEvent,
    Contract,
    Group,
    NormPersons,
    PovertyYear,
    QuoteItem,
    UseShare,
)
from machnuoc.customers.models.imports import ConnectionImport
from machnuoc.customers.models.meters import Fitting, Meter, VerificationRule
from machnuoc.customers.models.notices import ServiceNotice
from machnuoc.customers.models.parties import Consent, Customer, DataAccess
from machnuoc.customers.models.reading_imports import ReadingImport
from machnuoc.customers.models.readings import FieldItem, Reading, Round, Route
from machnuoc.customers.models.requests import (
    AnswerTemplate,
    Category,
    Open311Copy,
    Open311Endpoint,
    PublicPost,
    Request,
    RequestEvent,
    RequestPhoto,
    Routing,
    ServiceHours,
    WorkOrder,
)

__all__ = [
    "AnswerTemplate",
    "Application",
    "ApplicationMessage",
    "ApplicationStep",
    "Category",
    "Connection",
    "ConnectionEvent",
    "ConnectionImport",
    "Consent",
    "Contract",
    "Customer",
    "DataAccess",
    "FieldItem",
    "Fitting",
    "Group",
    "Meter",
    "NormPersons",
    "Open311Copy",
    "Open311Endpoint",
    "PovertyYear",
    "PublicPost",
    "QuoteItem",
    "Reading",
    "ReadingImport",
    "Request",
    "RequestEvent",
    "RequestPhoto",
    "Round",
    "Route",
    "Routing",
    "ServiceHours",
    "ServiceNotice",
    "UseShare",
    "VerificationRule",
    "WorkOrder",
]
