"""What OC4IDS 0.9 asks of the fields that the export gives, written down in our own words as JSON Schema.

Source: project package schema and project schema 0__9__5 of the Open Contracting for Infrastructure Data Standard
(Open Contracting Partnership, CoST; github.com/open-contracting/infrastructure, Apache License 2.0), read at commit
74789408afc8c44a72922d2aa5b091cddcb21604. A subset: the structure, types, formats, closed codelists and least lengths of
what we send; unlike the original it takes no other field, so that a slip of the pen is found.
"""

from typing import Any

_TEXT = {"type": "string", "minLength": 1}
_INSTANT = {
    "type": "string",
    "format": "date-time",
    "pattern": "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)$",
}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object", "minProperties": 1, "additionalProperties": False, "properties": properties,
    }  # fmt: skip
    return {**found, "required": required} if required else found


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "uniqueItems": True, "items": items}


_PERIOD = _object([], startDate=_INSTANT, endDate=_INSTANT)
_VALUE = _object([], amount={"type": "number"}, currency={"enum": ["VND"]})
_REFERENCE = _object([], id=_TEXT, name=_TEXT)
_PARTY = _object(
    ["id"], id=_TEXT, name=_TEXT, roles=_list({"enum": ["publicAuthority", "payer", "supplier", "funder"]})
)
_LOCATION = _object(
    ["id"],
    id=_TEXT,
    description=_TEXT,
    geometry=_object(
        [],
        type={"enum": ["Point"]},
        coordinates={"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
    ),
    address=_object([], locality=_TEXT, countryName=_TEXT),
)
_BREAKDOWN = _object(["id"], id=_TEXT, description=_TEXT, amount=_VALUE, period=_PERIOD)
_BREAKDOWNS = _object(["id"], id=_TEXT, description=_TEXT, budgetBreakdown=_list(_BREAKDOWN))
_MILESTONE = _object(
    ["id"],
    id=_TEXT,
    title=_TEXT,
    type=_TEXT,
    dueDate=_INSTANT,
    dateMet=_INSTANT,
    status={"enum": ["scheduled", "met", "notMet", "partiallyMet"]},
)
_PROJECT = _object(
    ["id"],
    id=_TEXT,
    updated=_INSTANT,
    language=_TEXT,
    title=_TEXT,
    description=_TEXT,
    status={
        "enum": [
            "identification", "preparation", "implementation", "completion", "maintenance", "decommissioning",
            "decommissioned", "cancelled",
        ]
    },
    period=_PERIOD,
    sector=_list(_TEXT),
    publicAuthority=_REFERENCE,
    parties=_list(_PARTY),
    locations=_list(_LOCATION),
    budget=_object([], amount=_VALUE, budgetBreakdowns=_list(_BREAKDOWNS)),
    milestones=_list(_MILESTONE),
    completion=_object([], endDate=_INSTANT),
    transactions=_list(_object(["id"], id=_TEXT, date=_INSTANT, value=_VALUE, payer=_REFERENCE)),
    benefits=_list(
        _object(
            [],
            title=_TEXT,
            description=_TEXT,
            beneficiaries=_list(_object([], description=_TEXT, numberOfPeople={"type": "integer", "minimum": 0})),
        )
    ),
)  # fmt: skip
PACKAGE: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    **_object(
        ["uri", "publisher", "publishedDate", "projects", "version"],
        uri={"type": "string", "format": "uri", "minLength": 1},
        publishedDate=_INSTANT,
        version={"enum": ["0.9"]},
        projects=_list(_PROJECT),
        publisher=_object(["name"], name=_TEXT),
    ),
}
