"""Customers, their connections and meters, readings, requests and complaints."""

from machnuoc.customers.models.connections import (
    Application,
    ApplicationStep,
    Connection,
    ConnectionEvent,
    Contract,
    Group,
    NormPersons,
    PovertyYear,
    UseShare,
)
from machnuoc.customers.models.meters import Fitting, Meter, VerificationRule
from machnuoc.customers.models.parties import Consent, Customer, DataAccess
from machnuoc.customers.models.readings import FieldItem, Reading, Round, Route
from machnuoc.customers.models.requests import (
    Category,
    Request,
    RequestEvent,
    RequestPhoto,
    Routing,
    WorkOrder,
)

__all__ = [
    "Application",
    "ApplicationStep",
    "Category",
    "Connection",
    "ConnectionEvent",
    "Consent",
    "Contract",
    "Customer",
    "DataAccess",
    "FieldItem",
    "Fitting",
    "Group",
    "Meter",
    "NormPersons",
    "PovertyYear",
    "Reading",
    "Request",
    "RequestEvent",
    "RequestPhoto",
    "Round",
    "Route",
    "Routing",
    "UseShare",
    "VerificationRule",
    "WorkOrder",
]
