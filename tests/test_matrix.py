"""One matrix: every address and every operation of the API, for every demo account and for a stranger.

A row says who gets in. Whoever is not named is refused (404 where the thing lies out of sight, 403 where the act is not
theirs), a stranger is sent to the sign-in page, and nobody ever sees a 500. An address without a row fails.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse
from django.utils import timezone

from machnuoc.config.api_urls import api
from machnuoc.core import files, jobs, notices, tokens
from machnuoc.core.models import Person
from machnuoc.core.periods import Period
from machnuoc.indicators import entry
from machnuoc.indicators.models import EntryForm, ImportBatch, Value
from machnuoc.places import operations as places
from machnuoc.places.models import Grant, Organisation, Subject

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("demo"), pytest.mark.slow]

ACCOUNTS = frozenset({
    "quantri", "qn.lanhdao", "qn.khkt", "qn.hcth", "qn.binhchanh", "qn.nghiaphu", "qn.sonnmt", "cb.soxaydung",
    "cb.capnuoc", "cb.baolac", "cb.phuchoa", "ct.camtan", "kh.nongnghiep", "doitac",
    "qn.thungan", "qn.ghichiso",
})  # fmt: skip
STRANGER = ""
ADMIN = frozenset({"quantri"})
LEADER = frozenset({"qn.lanhdao"})
DEPARTMENTS = frozenset({"qn.khkt", "qn.hcth"})
AGENCIES = frozenset({"qn.sonnmt", "cb.soxaydung", "kh.nongnghiep"})
MANAGERS = ADMIN | LEADER | DEPARTMENTS
WRITERS = DEPARTMENTS | {"qn.binhchanh", "qn.nghiaphu", "cb.capnuoc", "cb.baolac", "cb.phuchoa", "ct.camtan"}
APPROVERS = LEADER | AGENCIES
SEES_QUANG_NGAI = MANAGERS | {"qn.sonnmt", "doitac"}
SEES_BINH_CHANH = SEES_QUANG_NGAI | {"qn.binhchanh"}
SEES_CAO_BANG = ADMIN | {"cb.soxaydung"}
WITHOUT_SHEETS = frozenset({"doitac", "kh.nongnghiep"})  # no unit in their scope fills in a form
OWN_WORK_ONLY = frozenset({"qn.thungan", "qn.ghichiso"})  # cashiers and readers view nothing else
FILLS_SHEETS = ACCOUNTS - WITHOUT_SHEETS - OWN_WORK_ONLY
NOBODY: frozenset[str] = frozenset()

IN = {200, 201, 302, 409, 422}  # let in: done, or told what is wrong with the request
OUT = {403, 404}


@dataclass(frozen=True)
class Row:
    """Who gets in at one address. None: the method is not taken there, whoever asks."""

    name: str
    get: frozenset[str] | None
    post: frozenset[str] | None = None
    args: tuple[Any, ...] = ()  # a text that starts with @ is the id of what `things` made
    query: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    refused: int = 403
    shown: int = 200  # what a GET gives those who get in
    is_open: bool = False  # a stranger too gets in
    is_for_programs: bool = False  # a stranger is told to sign in, not sent there
    is_for_devices: bool = False  # a device's token opens it; no person gets in
    is_for_customers: bool = False  # a customer's session opens it; staff and strangers are sent to sign in there


QN_WORK, CB_WORK = "@work:qn", "work.cb.song-bang"
QN_ORGANISATION, CB_ORGANISATION = ("org.qn.tram-binh-chanh",), ("org.cb.cap-nuoc-cao-bang",)


def _work_acts() -> Iterator[Row]:
    """Give the acts on a work: those who manage it; the others who see it are refused with 403, see `_refusals`."""
    for name in ["edit", "hand_over", "set_status", "record_capacity", "set_service_areas", "add_alias", "add_part"]:
        yield Row(f"works:{name}", MANAGERS, MANAGERS, (QN_WORK,))
        yield Row(f"works:{name}", ADMIN, ADMIN, (CB_WORK,))


QN_TASK, CB_TASK = "qn.79-2026.phu-luc-2.1", "cb.cap-nuoc-2026.vii.7.1"
OF_QN_AGENCY, OF_CB_AGENCY = "qn.79-2026.phu-luc-2.4", "cb.cap-nuoc-2026.vii.1.1"  # name an agency among their units
SEES_QN_TASK = SEES_QUANG_NGAI | {"qn.binhchanh", "qn.nghiaphu"}  # a centre's plan speaks to its stations
REPORTS_QN_TASK = DEPARTMENTS | {"qn.binhchanh", "qn.nghiaphu"}


def _task_rows() -> Iterator[Row]:
    """Give the pages of tasks, meetings and campaigns; who sees a task and may not act on it is refused with 403."""
    for name in ["task_list", "task_board", "task_by_unit", "task_timeline", "meeting_list", "campaign_list"]:
        yield Row(f"planning:{name}", ACCOUNTS)
    yield Row("planning:task_detail", SEES_QN_TASK, args=(QN_TASK,), refused=404)
    yield Row("planning:task_detail", ADMIN | {"cb.soxaydung", "cb.capnuoc", "cb.baolac", "cb.phuchoa"},
              args=(CB_TASK,), refused=404)  # fmt: skip
    yield Row("planning:task_add", MANAGERS, MANAGERS)
    for name in ["task_edit", "task_decide", "task_hand_over"]:
        yield Row(f"planning:{name}", MANAGERS, MANAGERS, (QN_TASK,))
    yield Row("planning:task_progress", REPORTS_QN_TASK, REPORTS_QN_TASK, (QN_TASK,))
    for task, reporters in [(OF_QN_AGENCY, DEPARTMENTS | {"qn.sonnmt"}), (OF_CB_AGENCY, frozenset({"cb.soxaydung"}))]:
        yield Row("planning:task_progress", reporters, reporters, (task,))
    yield Row("planning:task_move", None, frozenset({"cb.soxaydung"}), (OF_CB_AGENCY,), data={"state": "DOING"})
    yield Row("planning:task_move", None, REPORTS_QN_TASK, (QN_TASK,), data={"state": "DOING"})
    yield Row("planning:task_comment", None, SEES_QN_TASK - {"doitac"}, (QN_TASK,), data={"text": "Đã xem"})
    yield Row("planning:task_file", SEES_BINH_CHANH, args=(QN_TASK, "@evidence"), refused=404)
    yield Row("planning:task_imports", MANAGERS, MANAGERS)
    yield Row("planning:task_template", MANAGERS)
    yield Row("planning:task_import", frozenset({"qn.khkt"}), frozenset({"qn.khkt"}), ("@task_import",), refused=404)
    yield Row("planning:meeting_add", MANAGERS, MANAGERS)
    yield Row("planning:meeting_detail", SEES_QN_TASK, args=("@meeting",), refused=404)
    yield Row("planning:meeting_edit", MANAGERS, MANAGERS, ("@meeting",))
    yield Row("planning:conclusion_task", MANAGERS, MANAGERS, ("@meeting", "@conclusion"))
    yield Row("planning:meeting_file", SEES_QN_TASK, args=("@meeting", "@evidence"), refused=404)
    yield Row("planning:campaign_add", WRITERS | MANAGERS, WRITERS | MANAGERS)
    yield Row("planning:campaign_detail", SEES_BINH_CHANH, args=("@campaign",), refused=404)
    runs = MANAGERS | {"qn.binhchanh"}
    yield Row("planning:campaign_edit", runs, runs, ("@campaign",))
    yield Row("planning:campaign_file", SEES_BINH_CHANH, args=("@campaign", "@evidence"), refused=404)


QN_DUTY, CB_DUTY = "duty.qn.tram-dot-xuat", "duty.cb.nam"


def _duty_rows() -> Iterator[Row]:
    """Give the pages of report duties; an instance is for its unit, for who oversees it and for who receives it."""
    for name in ["duty_calendar", "duty_list", "duty_index", "duty_units"]:
        yield Row(f"planning:{name}", ACCOUNTS)
    yield Row("planning:duty_feed", ACCOUNTS, ACCOUNTS)
    yield Row("planning:duty_ics", ACCOUNTS, args=("@feed",), is_open=True)
    yield Row("planning:duty_add", MANAGERS, MANAGERS)
    yield Row("planning:duty_preview", None, MANAGERS)
    yield Row("planning:duty_detail", SEES_QN_TASK, args=(QN_DUTY,), refused=404)
    yield Row("planning:duty_detail", ADMIN | {"cb.soxaydung", "cb.capnuoc", "cb.baolac", "cb.phuchoa"},
              args=(CB_DUTY,), refused=404)  # fmt: skip
    for name in ["duty_edit", "duty_ad_hoc"]:
        yield Row(f"planning:{name}", MANAGERS, MANAGERS, (QN_DUTY,))
        yield Row(f"planning:{name}", ADMIN, ADMIN, (CB_DUTY,))
    yield Row("planning:duty_recipient", None, MANAGERS, (QN_DUTY,))
    yield Row("planning:duty_instance", SEES_BINH_CHANH, args=("@duty",), refused=404)
    yield Row("planning:duty_submit", None, MANAGERS | {"qn.binhchanh"}, ("@duty",))
    yield Row("planning:duty_reopen", None, MANAGERS, ("@duty",), data={"reason": "thử"})
    yield Row("planning:duty_waive", None, MANAGERS, ("@duty",), data={"reason": "thử"})
    yield Row("planning:duty_organisation", SEES_BINH_CHANH, args=QN_ORGANISATION, refused=404)


INSIDE_CENTRE = MANAGERS | {"qn.sonnmt"}  # who writes, manages or signs there; drafts are theirs alone


def _report_rows() -> Iterator[Row]:
    """Give the pages of reports; whoever sees a report and may not act on it is refused with 403."""
    yield Row("reports:list", ACCOUNTS)
    yield Row("reports:add", WRITERS | AGENCIES, WRITERS | AGENCIES)
    yield Row("reports:templates", MANAGERS)
    yield Row("reports:template", MANAGERS, MANAGERS, ("qn_monthly",))
    yield Row("reports:template_try", MANAGERS, args=("qn_monthly",))
    for name in ["detail", "figures", "checks"]:
        yield Row(f"reports:{name}", INSIDE_CENTRE, args=("@report",), refused=404)
    yield Row("reports:compare", INSIDE_CENTRE, args=("@report_signed",), refused=404)
    yield Row("reports:file", INSIDE_CENTRE, args=("@report_signed", "docx"), refused=404)
    yield Row("reports:section", DEPARTMENTS, DEPARTMENTS, ("@report", "@report_section"), shown=302)
    yield Row("reports:details", DEPARTMENTS, DEPARTMENTS, ("@report",))
    for act in ["lam-moi", "trinh"]:
        yield Row("reports:act", None, DEPARTMENTS, ("@report", act))
    yield Row("reports:act", None, MANAGERS, ("@report", "xoa"))
    for act in ["tra-lai", "ky-duyet"]:
        yield Row("reports:act", None, LEADER | {"qn.sonnmt"}, ("@report_signed", act))
    for act in ["vao-so", "gui", "xac-nhan", "dinh-chinh"]:
        yield Row("reports:act", None, DEPARTMENTS, ("@report_signed", act))


QN_PLAN, QN_TARGET = "qn.79-2026", ("qn.79-2026", "khach-hang")
CB_PLAN = "cb.cap-nuoc-2026"


def _plans() -> Iterator[Row]:
    """Plans and targets speak to all below their territory; who manages the issuer changes them."""
    for name in ["plan_list", "target_list", "growth", "scorecard"]:
        yield Row(f"planning:{name}", ACCOUNTS)
    yield Row("planning:plan_detail", SEES_QN_TASK, args=(QN_PLAN,), refused=404)
    yield Row("planning:plan_detail", ADMIN | {"cb.soxaydung", "cb.capnuoc", "cb.baolac", "cb.phuchoa"},
              args=(CB_PLAN,), refused=404)  # fmt: skip
    yield Row("planning:plan_add", MANAGERS, MANAGERS)
    for name in ["plan_edit", "plan_amend", "target_add"]:
        yield Row(f"planning:{name}", MANAGERS, MANAGERS, (QN_PLAN,))
        yield Row(f"planning:{name}", ADMIN, ADMIN, (CB_PLAN,))
    yield Row("planning:target_detail", SEES_QN_TASK, args=QN_TARGET, refused=404)
    yield Row("planning:target_detail", SEES_BINH_CHANH, args=(QN_PLAN, "khach-hang.binh-chanh"), refused=404)
    yield Row("planning:target_edit", MANAGERS, MANAGERS, QN_TARGET)
    yield Row("planning:target_carry_down", MANAGERS, MANAGERS, QN_TARGET)
    judges = MANAGERS | {"qn.sonnmt"}  # whoever approves above the issuer decides too
    yield Row("planning:target_judge", judges, judges, QN_TARGET)
    yield Row("planning:proposal_add", DEPARTMENTS, DEPARTMENTS, QN_TARGET)
    yield Row("planning:proposal_edit", DEPARTMENTS, DEPARTMENTS, ("@proposal",))
    yield Row("planning:proposal_submit", None, DEPARTMENTS, ("@proposal",))
    yield Row("planning:proposal_decide", LEADER | {"qn.sonnmt"}, LEADER | {"qn.sonnmt"}, ("@proposal",))


KH_PROGRAMME = "kh.1355-2024"
KH_PLACE = (KH_PROGRAMME, "vn.khanh-hoa-cu.khanh-son-huyen.son-binh-xa")
SEES_KHANH_HOA = ADMIN | {"kh.nongnghiep"}


def _programme_rows() -> Iterator[Row]:
    """Criteria programmes: sets are for all; a programme for those below its territory; the agency reviews."""
    yield Row("planning:programme_list", ACCOUNTS)
    yield Row("planning:criteria_sets", ACCOUNTS)
    yield Row("planning:criteria_set", ACCOUNTS, args=("xa-ntm-2021-2025",))
    yield Row("planning:criteria_set", NOBODY, args=("khong-co",), refused=404)
    yield Row("planning:criterion_form", ADMIN, ADMIN, ("xa-ntm-2026-2030",))
    yield Row("planning:sub_indicator_form", ADMIN, ADMIN, ("@criterion",))
    yield Row("planning:threshold_form", MANAGERS, MANAGERS, ("@sub_indicator",))
    yield Row("planning:threshold_end", None, ADMIN, ("@threshold",))
    yield Row("planning:unit_profile", ADMIN, ADMIN, (KH_PLACE[1],))
    yield Row("planning:unit_profile", MANAGERS, MANAGERS, ("vn.quang-ngai",))
    yield Row("planning:unit_profile", NOBODY, NOBODY, ("khong-co",), refused=404)
    for name in ["detail", "matrix", "agencies", "roadmap", "mergers"]:
        yield Row(f"planning:programme_{name}", SEES_KHANH_HOA, args=(KH_PROGRAMME,), refused=404)
    yield Row("planning:programme_agency", SEES_KHANH_HOA, args=(KH_PROGRAMME, 4), refused=404)
    yield Row("planning:programme_fill", None, ADMIN, (KH_PROGRAMME,))
    yield Row("planning:programme_freeze", ADMIN, ADMIN, (KH_PROGRAMME,))
    yield Row("planning:programme_roadmap_entry", ADMIN, ADMIN, (KH_PROGRAMME, "@roadmap_entry"))
    for name in ["programme_unit", "programme_unit_course"]:
        yield Row(f"planning:{name}", SEES_KHANH_HOA, args=KH_PLACE, refused=404)
    yield Row("planning:programme_cell", SEES_KHANH_HOA, args=(*KH_PLACE, "@criterion"), refused=404)
    yield Row("planning:programme_assess", SEES_KHANH_HOA, SEES_KHANH_HOA, (*KH_PLACE, "@criterion"), refused=404)
    yield Row("planning:programme_dossier", ADMIN, ADMIN, KH_PLACE)
    yield Row("planning:programme_history", SEES_KHANH_HOA, args=(KH_PROGRAMME, "@assessment"), refused=404)
    yield Row("planning:programme_file", SEES_KHANH_HOA, args=(KH_PROGRAMME, "@assessment_file"), refused=404)


CB_PROJECT, QN_PROJECT = "project.cb.tan-giang", "project.qn.duc-chanh"


def _project_rows() -> Iterator[Row]:
    """Projects: read by their owner and whoever oversees them; entered for by the owner; kept by managers."""
    for name in ["project_list", "project_chart", "project_debts", "project_funds", "project_oc4ids", "handover_list"]:
        yield Row(f"planning:{name}", ACCOUNTS)
    yield Row("planning:project_fund", SEES_KHANH_HOA, args=(KH_PROGRAMME,), refused=404)
    for name in ["project_add", "handover_add"]:
        yield Row(f"planning:{name}", MANAGERS, MANAGERS)
    yield Row("planning:project_detail", SEES_QUANG_NGAI, args=(QN_PROJECT,), refused=404)
    yield Row("planning:project_detail", SEES_CAO_BANG | {"cb.capnuoc"}, args=(CB_PROJECT,), refused=404)
    owner = ADMIN | {"cb.capnuoc"}
    for name in ["disburse", "accept", "progress", "add_milestone", "obstacle"]:
        yield Row(f"planning:project_{name}", MANAGERS, MANAGERS, (QN_PROJECT,))
        yield Row(f"planning:project_{name}", owner, owner, (CB_PROJECT,))
    for name, thing in [
        ("reverse_disbursement", "@disbursement"), ("reverse_volume", "@volume"), ("milestone", "@milestone"),
        ("resolve", "@obstacle"),
    ]:  # fmt: skip
        yield Row(f"planning:project_{name}", owner, owner, (CB_PROJECT, thing))
    yield Row("planning:project_remove_milestone", None, ADMIN, (CB_PROJECT, "@milestone"))
    for name in ["edit", "yearly_plan"]:
        yield Row(f"planning:project_{name}", MANAGERS, MANAGERS, (QN_PROJECT,))
        yield Row(f"planning:project_{name}", ADMIN, ADMIN, (CB_PROJECT,))
    yield Row("planning:handover_detail", SEES_QUANG_NGAI, args=("@handover",), refused=404)
    for name in ["edit", "back", "stop"]:
        yield Row(f"planning:handover_{name}", MANAGERS, MANAGERS, ("@handover",))
    yield Row("planning:handover_step", MANAGERS, MANAGERS, ("@handover", "kiem-ke"))
    yield Row("planning:handover_paper", MANAGERS, MANAGERS, ("@handover", "@paper"))
    yield Row("planning:handover_paper_file", SEES_QUANG_NGAI, args=("@handover", "@paper"), refused=404)


def _desk_rows() -> Iterator[Row]:
    """Give the pages of alarms, rules and devices of a station in Quảng Ngãi."""
    lists = [
        "alarm_list", "alarm_history", "alarm_statistics", "rule_list", "maintenance_list", "device_list",
        "device_health", "limit_list", "ledger", "quarantine_list", "quantity_list",
    ]  # fmt: skip
    for name in lists:
        yield Row(f"telemetry:{name}", ACCOUNTS)
    yield Row("telemetry:alarm_acknowledge", None, ACCOUNTS)  # without a tick: told so
    enters = DEPARTMENTS | {"qn.binhchanh"}
    yield Row("telemetry:alarm_detail", SEES_BINH_CHANH, args=("@alarm",), refused=404)
    yield Row("telemetry:alarm_note", enters, enters, ("@alarm",), data={"text": "Đã xem"})
    yield Row("telemetry:rule_detail", SEES_BINH_CHANH, args=("@rule",), refused=404)
    for name in ["rule_add", "maintenance_add", "device_add", "limit_add"]:
        yield Row(f"telemetry:{name}", MANAGERS, MANAGERS)
    for name in ["rule_edit", "rule_shelve", "rule_out_of_service"]:
        yield Row(f"telemetry:{name}", MANAGERS, MANAGERS, ("@rule",))
    for name in ["rule_unshelve", "rule_in_service"]:
        yield Row(f"telemetry:{name}", None, MANAGERS, ("@rule",))
    yield Row("telemetry:maintenance_end", None, MANAGERS, ("@maintenance",))
    yield Row("telemetry:device_detail", SEES_BINH_CHANH, args=("@device",), refused=404)
    for name in ["device_edit", "device_remove", "channel_add"]:
        yield Row(f"telemetry:{name}", MANAGERS, MANAGERS, ("@device",))
    yield Row("telemetry:credential_issue", MANAGERS, MANAGERS, ("@device",), data={"days": "30"}, shown=302)
    yield Row("telemetry:credential_revoke", None, MANAGERS, ("@device", "@credential"))
    for name in ["channel_edit", "channel_calibrate", "channel_totaliser"]:
        yield Row(f"telemetry:{name}", MANAGERS, MANAGERS, ("@device", "@channel"))
    brings = MANAGERS | WRITERS
    yield Row("telemetry:sheet_imports", brings, brings)
    yield Row("telemetry:sheet_template", brings, args=("so-doc",))
    yield Row("telemetry:sheet_import", frozenset({"qn.khkt"}), frozenset({"qn.khkt"}), ("@sheet",), refused=404)
    yield Row("telemetry:limit_edit", MANAGERS, MANAGERS, ("@limit",))
    yield Row("telemetry:quantity_add", ADMIN, ADMIN)
    for name in ["quantity_edit", "quantity_delete"]:
        yield Row(f"telemetry:{name}", ADMIN, ADMIN, ("@own_quantity",))
    yield Row("telemetry:quarantine_item", SEES_BINH_CHANH, args=("@quarantined",), refused=404)
    for name in ["wall", "online"]:
        yield Row(f"telemetry:{name}", ACCOUNTS)
    yield Row("telemetry:stream", ACCOUNTS, is_for_programs=True)
    yield Row("telemetry:station", SEES_BINH_CHANH, args=(QN_WORK,), refused=404)
    yield Row("telemetry:channel", SEES_BINH_CHANH, args=("@channel",), refused=404)
    yield Row("telemetry:channel_data", SEES_BINH_CHANH, args=("@channel",), refused=404)
    yield Row("telemetry:channel_note", None, enters, ("@channel",), data={"text": "Rửa lọc"})
    yield Row("telemetry:public_quality", ACCOUNTS, is_open=True)
    yield Row("telemetry:quarantine_replay", None, MANAGERS, ("@quarantined",))
    yield Row("telemetry:quarantine_dismiss", MANAGERS, MANAGERS, ("@quarantined",), data={"reason": "thử"})


BILLS = LEADER | DEPARTMENTS  # prepare tariffs and bills
FORCES = LEADER | {"qn.sonnmt"}  # put tariffs in force
SEES_QN_TARIFFS = SEES_QN_TASK | {"qn.thungan"}


def _tariff_rows() -> Iterator[Row]:
    """Give the pages of tariffs; prices of what holds one's own station are seen, what one may not do is refused."""
    for name in ["tariff_list", "tariff_trial"]:
        yield Row(f"billing:{name}", ACCOUNTS)
    yield Row("billing:tariff_add", BILLS, BILLS)
    yield Row("billing:tariff_template", BILLS)
    for key in ["@tariff", "@tariff_draft"]:
        yield Row("billing:tariff_detail", SEES_QN_TARIFFS, args=(key,), refused=404)
    yield Row("billing:tariff_edit", BILLS, BILLS, ("@tariff_draft",))
    for name in ["tariff_import", "tariff_copy", "tariff_delete"]:
        yield Row(f"billing:{name}", None, BILLS, ("@tariff_draft",))
    yield Row("billing:tariff_force", FORCES, FORCES, ("@tariff_draft",))
    for name in ["tariff_withdraw", "tariff_verify"]:
        yield Row(f"billing:{name}", None, FORCES, ("@tariff",))
    yield Row("billing:fee_rule_list", ACCOUNTS, APPROVERS)
    yield Row("billing:fee_rule_remove", None, FORCES, ("@fee_rule",))
    yield Row("billing:price_frame_list", ACCOUNTS, ADMIN)
    yield Row("billing:public_trial", ACCOUNTS, is_open=True)
    yield Row("billing:remote_meter", SERVES_BINH_CHANH, SERVES_BINH_CHANH, ("@connection",), refused=404)
    yield Row("billing:remote_meter_end", None, SERVES_BINH_CHANH, ("@connection",), refused=404)


SERVES_BINH_CHANH = LEADER | DEPARTMENTS | {"qn.binhchanh", "qn.thungan"}
SERVES = SERVES_BINH_CHANH | {"qn.nghiaphu", "cb.capnuoc", "cb.baolac"}


def _document_rows() -> Iterator[Row]:
    """Give the pages of e-invoices and printing; a bill is printed masked for who only views."""
    for name in ["einvoice_list", "einvoice_days", "einvoice_setup", "einvoice_zip"]:
        yield Row(f"billing:{name}", BILLS)
    yield Row("billing:einvoice_compare", None, BILLS)
    yield Row("billing:einvoice_detail", BILLS, args=("@einvoice",))
    yield Row("billing:einvoice_again", None, BILLS, ("@einvoice",))
    yield Row("billing:einvoice_xml", SERVES_BINH_CHANH, args=("@einvoice",))
    yield Row("billing:bill_pdf", SEES_BINH_CHANH | {"qn.thungan"}, args=("@printed_bill",), refused=404)
    yield Row("billing:print_list", SERVES, SERVES)
    yield Row("billing:print_file", frozenset({"qn.khkt"}), args=("@print",))


def _connection_rows() -> Iterator[Row]:
    """Give the pages of connections, applications and their sheets; who views one masked may do nothing to it."""
    one, application = ("@connection",), ("@application",)
    yield Row("customers:connection_list", ACCOUNTS)
    for name in ["application_list", "application_board"]:
        yield Row(f"customers:{name}", ACCOUNTS - {"qn.ghichiso"})
    for name in ["connection_add", "application_add", "connection_imports"]:
        yield Row(f"customers:{name}", SERVES, SERVES)
    yield Row("customers:connection_template", SERVES, args=("dau-noi",))
    yield Row("customers:connection_import", frozenset({"qn.khkt"}), frozenset({"qn.khkt"}), ("@connection_import",))
    yield Row("customers:connection_import_undo", None, frozenset({"qn.khkt"}), ("@connection_import",))
    yield Row("customers:connection_detail", SEES_BINH_CHANH | {"qn.thungan"}, args=one, refused=404)
    yield Row("customers:connection_later", SEES_BINH_CHANH | {"qn.thungan"}, args=one, refused=404)
    for name in ["edit", "customer", "transfer", "contract", "privacy"]:
        yield Row(f"customers:connection_{name}", SERVES_BINH_CHANH, SERVES_BINH_CHANH, one)
    classifies = SERVES_BINH_CHANH - {"qn.thungan"}  # who takes money does not set what the price rests on
    for name in ["norm", "shares", "poverty"]:
        yield Row(f"customers:connection_{name}", classifies, classifies, one)
    yield Row("customers:connection_move", SERVES_BINH_CHANH, SERVES_BINH_CHANH, ("@connection", "tam-ngung"))
    yield Row("customers:contract_paper", SERVES_BINH_CHANH, SERVES_BINH_CHANH, ("@connection", "@contract"))
    yield Row("customers:customer_copy", SERVES_BINH_CHANH, args=one)
    yield Row("customers:customer_erase", LEADER | DEPARTMENTS, LEADER | DEPARTMENTS, one)
    # Whoever serves somebody sees the applications of those works alone; who serves nobody views them masked.
    yield Row("customers:application_detail", SEES_BINH_CHANH | {"qn.thungan"}, args=application, refused=404)
    for name in ["edit", "step", "stop", "promise", "answer"]:
        yield Row(f"customers:application_{name}", SERVES_BINH_CHANH, SERVES_BINH_CHANH, application)
    yield Row("customers:application_undo", None, MANAGERS, application)
    yield Row("customers:application_paper", SERVES_BINH_CHANH, args=("@application", "@application_step"))


def _request_rows() -> Iterator[Row]:
    """Give the pages of requests and work orders; whoever sees one masked does nothing to it; the public ones."""
    one, order = ("@request",), ("@work_order",)
    for name in ["request_list", "request_map", "request_statistics", "category_list"]:
        yield Row(f"customers:{name}", ACCOUNTS - {"qn.ghichiso"})
    yield Row("customers:request_add", SERVES, SERVES)
    yield Row("customers:request_hints", None, SERVES)
    yield Row("customers:request_settings", MANAGERS)
    yield Row("customers:request_setting_add", None, MANAGERS, ("routing",))
    yield Row("customers:request_setting_remove", None, MANAGERS, ("routing", "@routing"))
    yield Row("customers:category_edit", ADMIN, ADMIN, ("mat-nuoc",))
    yield Row("customers:request_detail", SEES_BINH_CHANH | {"qn.thungan"}, args=one, refused=404)
    yield Row("customers:request_act", None, SERVES_BINH_CHANH, ("@request", "ghi-chu"))
    yield Row("customers:request_photo", SERVES_BINH_CHANH, args=("@request", "@request_photo"), refused=404)
    yield Row("customers:work_order_list", SERVES)
    yield Row("customers:work_order_add", SERVES, SERVES)
    yield Row("customers:work_order_detail", SERVES_BINH_CHANH, args=order, refused=404)
    yield Row("customers:work_order_act", None, SERVES_BINH_CHANH, ("@work_order", "bat-dau"))
    token = ("@request_token",)
    yield Row("customers:public_form", ACCOUNTS, ACCOUNTS, is_open=True)
    yield Row("customers:public_lookup", ACCOUNTS, ACCOUNTS, is_open=True)
    yield Row("customers:public_request", ACCOUNTS, ACCOUNTS, token, data={"act": "reply", "text": "Xin hỏi"},
              is_open=True)  # fmt: skip
    yield Row("customers:public_photo", ACCOUNTS, args=("@request_token", "@request_photo"), is_open=True)
    yield Row("customers:notice_list", SERVES)
    yield Row("customers:notice_add", SERVES, SERVES)
    yield Row("customers:notice_detail", SERVES_BINH_CHANH, SERVES_BINH_CHANH, ("@service_notice",))
    yield Row("customers:public_notices", ACCOUNTS, is_open=True)
    for kind in ["json", "xml"]:
        yield Row("customers:open311_services", ACCOUNTS, args=(kind,), is_open=True)
        yield Row("customers:open311_service", ACCOUNTS, args=("mat-nuoc", kind), is_open=True)
        told = {"service_code": "khac", "description": "Vòi hỏng", "jurisdiction_id": "org.qn.trung-tam"}
        yield Row("customers:open311_requests", ACCOUNTS, ACCOUNTS, (kind,), data=told, is_open=True)
        yield Row("customers:open311_request", ACCOUNTS, args=("@request", kind), is_open=True)
        yield Row("customers:open311_token", ACCOUNTS, args=("@request_token", kind), is_open=True)


COLLECTS_BINH_CHANH = DEPARTMENTS | {"qn.binhchanh", "qn.thungan"}
COLLECTS = COLLECTS_BINH_CHANH | {"qn.nghiaphu", "cb.capnuoc", "cb.baolac"}


def _money_rows() -> Iterator[Row]:
    """Give the pages of money: who collects takes it, who bills puts it right, who leads approves."""
    one = ("@connection",)
    yield Row("billing:counter", COLLECTS)
    yield Row("billing:counter_connection", COLLECTS_BINH_CHANH, COLLECTS_BINH_CHANH, one)
    yield Row("billing:gateway_begin", None, COLLECTS_BINH_CHANH, one)
    for name in ["receipt", "payment_detail"]:
        yield Row(f"billing:{name}", SERVES_BINH_CHANH, args=("@payment",), refused=404)
    yield Row("billing:payment_list", SERVES)
    yield Row("billing:payment_reverse", BILLS, BILLS, ("@payment",))
    yield Row("billing:refund_request", SERVES_BINH_CHANH, SERVES_BINH_CHANH, ("@payment",))
    yield Row("billing:credit_refund_request", SERVES_BINH_CHANH, SERVES_BINH_CHANH, ("@credit_bill",), refused=404)
    yield Row("billing:refund_list", SERVES)
    yield Row("billing:refund_act", None, LEADER, ("@refund", "duyet"))
    yield Row("billing:till_list", COLLECTS | LEADER, COLLECTS)
    yield Row("billing:till_detail", BILLS | {"qn.thungan"}, NOBODY, ("@till",))  # closed: nobody closes it again
    yield Row("billing:till_confirm", None, BILLS, ("@till",))
    yield Row("billing:sheet_list", COLLECTS, COLLECTS)
    yield Row("billing:sheet_detail", COLLECTS_BINH_CHANH, COLLECTS_BINH_CHANH, ("@collection_sheet",),
              data={"act": "close"})  # fmt: skip
    yield Row("billing:gateway_list", COLLECTS | LEADER)
    yield Row("billing:gateway_order", COLLECTS_BINH_CHANH | LEADER, COLLECTS_BINH_CHANH | LEADER, ("@gateway_order",))
    yield Row("billing:gateway_callback", ACCOUNTS, args=("vnpay",), is_open=True)  # signatures: see test_callbacks
    yield Row("billing:gateway_return", ACCOUNTS, args=("vnpay",), is_open=True)
    yield Row("billing:settlement_list", BILLS)
    yield Row("billing:settlement_add", BILLS, BILLS)
    yield Row("billing:settlement_detail", BILLS, args=("@settlement",))
    yield Row("billing:settlement_reverse", BILLS, BILLS, ("@settlement",))
    yield Row("billing:statement_list", BILLS, BILLS)
    yield Row("billing:statement_detail", BILLS, BILLS, ("@statement",))
    yield Row("billing:statement_columns", BILLS, BILLS, ("@statement",), shown=302)  # confirmed before
    yield Row("billing:line_act", None, BILLS, ("@bank_line", "bo-qua"))
    yield Row("billing:debt_list", SERVES)
    yield Row("billing:debt_remind", None, BILLS)
    yield Row("billing:debt_open", None, BILLS, one)
    yield Row("billing:debt_case", SERVES_BINH_CHANH, args=("@debt_case",), refused=404)
    yield Row("billing:debt_act", None, BILLS, ("@debt_case", "nhac"))
    yield Row("billing:debt_proof", SERVES_BINH_CHANH, args=("@debt_case", "@debt_step"), refused=404)


READS_BINH_CHANH = DEPARTMENTS | {"qn.binhchanh"}  # write readings at the office
READS = READS_BINH_CHANH | {"qn.nghiaphu", "cb.capnuoc", "cb.baolac"}


def _reading_rows() -> Iterator[Row]:
    """Give the pages of rounds, readings and meters; who serves at the counter looks and does not write."""
    shown, meter = ("@round",), ("@meter",)
    for name in ["round_list", "review_list", "route_list", "meter_list", "field_item_list"]:
        yield Row(f"customers:{name}", SERVES)
    walks = READS | {"qn.ghichiso"}
    for name in ["field_home", "field_me", "field_rounds"]:
        yield Row(f"customers:{name}", walks)
    for name in ["field_worker", "field_manifest"]:  # for the browser itself, which holds nothing of a person
        yield Row(f"customers:{name}", ACCOUNTS, is_open=True)
    yield Row("customers:field_route", READS_BINH_CHANH, args=("@round",), refused=404)  # the route has no reader
    for name in ["field_send", "field_fates"]:
        yield Row(f"customers:{name}", None, walks)
    yield Row("customers:round_open", None, READS)
    yield Row("customers:round_detail", SERVES_BINH_CHANH, READS_BINH_CHANH, shown)
    for name in ["estimate", "close"]:
        yield Row(f"customers:round_{name}", READS_BINH_CHANH, READS_BINH_CHANH, shown)
    yield Row("customers:round_warn", SERVES_BINH_CHANH, SERVES_BINH_CHANH, shown, refused=404)
    yield Row("customers:review_detail", SERVES_BINH_CHANH, READS_BINH_CHANH, ("@reading",), data={"note": "thử"})
    yield Row("customers:reading_photo", SERVES_BINH_CHANH, args=("@reading",), refused=404)
    yield Row("customers:route_add", READS, READS)
    yield Row("customers:route_detail", SERVES_BINH_CHANH, READS_BINH_CHANH, ("@route",))
    yield Row("customers:reading_imports", READS, READS)
    yield Row("customers:reading_template", READS | {"qn.ghichiso"})
    mine = frozenset({"qn.khkt"})
    yield Row("customers:reading_import", mine, mine, ("@reading_import",), refused=404)
    yield Row("customers:meter_detail", SERVES_BINH_CHANH, READS_BINH_CHANH, meter)
    yield Row("customers:meter_edit", READS_BINH_CHANH, READS_BINH_CHANH, meter)
    for name in ["meter_swap", "meter_fit"]:
        yield Row(f"customers:{name}", READS_BINH_CHANH, READS_BINH_CHANH, ("@metered",))


SEES_BINH_CHANH_BILLS = SERVES_BINH_CHANH | {"quantri", "qn.sonnmt", "doitac"}


def _portal_rows() -> Iterator[Row]:
    """Give the customers' pages: nobody of the staff gets in; whose is whose is tested in machnuoc/portal/tests."""
    yield Row("portal:sign_in", ACCOUNTS, ACCOUNTS, is_open=True)
    yield Row("portal:sign_in_code", ACCOUNTS, ACCOUNTS, shown=302, is_open=True)
    yield Row("portal:sign_out", None, NOBODY, is_for_customers=True)
    for name in ["home", "bills", "payments"]:
        yield Row(f"portal:{name}", NOBODY, is_for_customers=True)
    for name in ["connection", "bill_detail", "bill_pdf", "bill_xml", "receipt"]:
        yield Row(f"portal:{name}", NOBODY, is_for_customers=True, args=(1,))
    yield Row("portal:pay", NOBODY, NOBODY, (1,), is_for_customers=True)
    yield Row("portal:reading_photo", NOBODY, is_for_customers=True, args=(1, 1))
    yield Row("portal:staff_link", None, SERVES_BINH_CHANH, ("@connection",))
    yield Row("portal:staff_unlink", None, SERVES_BINH_CHANH, ("@connection", 1))
    yield Row("portal:account", NOBODY, NOBODY, is_for_customers=True)
    yield from _service_rows()


def _service_rows() -> Iterator[Row]:
    """Give the pages of a customer's services; whose is whose: machnuoc/portal/tests/test_services.py."""
    for name in ["requests", "notices"]:
        yield Row(f"portal:{name}", NOBODY, is_for_customers=True)
    for name in ["request_add", "applications", "my_data", "my_erasure"]:
        yield Row(f"portal:{name}", NOBODY, NOBODY, is_for_customers=True)
    for name, argument in [("request_detail", "@request"), ("application_detail", "@application")]:
        yield Row(f"portal:{name}", NOBODY, NOBODY, (argument,), is_for_customers=True)
    yield Row("portal:apply", ACCOUNTS, ACCOUNTS, is_open=True)
    yield Row("portal:application_paper", NOBODY, args=("@application", "@application_step"), is_for_customers=True)
    yield Row("portal:request_photo", NOBODY, args=("@request", "@request_photo"), is_for_customers=True)
    for name in ["self_reading", "norm_change"]:
        yield Row(f"portal:{name}", NOBODY, NOBODY, (1,), is_for_customers=True)
    for name in ["contract_paper", "my_copy"]:
        yield Row(f"portal:{name}", NOBODY, args=(1,), is_for_customers=True)


def _bill_rows() -> Iterator[Row]:
    """Give the pages of runs, bills and the ledger of the centre in Quảng Ngãi."""
    elsewhere = {"qn.lanhdao", "qn.khkt", "qn.hcth"}
    yield Row("billing:run_list", BILLS)
    yield Row("billing:run_open", BILLS, BILLS)
    yield Row("billing:profile_edit", BILLS, BILLS, ("org.qn.trung-tam",), refused=404)
    yield Row("billing:run_detail", frozenset(elsewhere), args=("@run",), refused=404)
    yield Row("billing:run_skips", frozenset(elsewhere), args=("@run",), refused=404)
    for name in ["run_preview", "run_approve", "run_start", "run_stop", "run_cancel"]:
        yield Row(f"billing:{name}", None, BILLS, ("@run",), refused=404)
    yield Row("billing:ledger", BILLS)
    yield Row("billing:ledger_journal", BILLS)
    yield Row("billing:ledger_verify", None, BILLS)
    yield Row("billing:bill_list", ACCOUNTS - {"qn.ghichiso"})
    yield Row("billing:estimate_list", BILLS, BILLS)
    yield Row("billing:bill_detail", SEES_BINH_CHANH_BILLS, args=("@bill",), refused=404)
    yield Row("billing:bill_correct", BILLS, BILLS, ("@bill",))
    yield Row("billing:correction_approve", None, BILLS, ("@correction",))
    yield Row("billing:correction_refuse", None, BILLS, ("@correction",), data={"note": "thử"})


ROWS = [
    Row("core:overview", ACCOUNTS),
    Row("core:later_overview", ACCOUNTS, args=("now",)),
    Row("core:later_overview", NOBODY, args=("khac",), refused=404),
    Row("core:healthz", ACCOUNTS, is_open=True),
    Row("telemetry:metrics", ACCOUNTS, is_open=True),  # from this machine; see test_metrics
    Row("core:sign_in", ACCOUNTS, ACCOUNTS, shown=302, is_open=True),
    Row("core:sign_out", None, ACCOUNTS),
    Row("core:account", ACCOUNTS, ACCOUNTS),
    Row("core:create_token", None, ACCOUNTS, data={"name": "máy bơm", "days": "30"}),
    Row("core:revoke_token", None, frozenset({"qn.binhchanh"}), ("@token",), refused=404),
    Row("core:notices", ACCOUNTS),
    Row("core:read_all_notices", None, ACCOUNTS),
    Row("core:open_notice", None, frozenset({"qn.binhchanh"}), ("@notice",), refused=404),
    Row("core:documents", ACCOUNTS),
    Row("core:document", ACCOUNTS, args=("@document",)),
    Row("core:document", NOBODY, args=("khong-co",), refused=404),
    Row("core:rosters", ACCOUNTS),
    Row("core:roster_add", MANAGERS, MANAGERS),
    Row("core:roster", SEES_BINH_CHANH, args=("@roster",), refused=404),
    Row("core:roster_change", None, MANAGERS, ("@roster",), data={"act": "settings", "name": "Trạm"}),
    Row("core:jobs", ADMIN),
    Row("core:retry_job", None, ADMIN, ("@job",)),
    Row("core:cancel_job", None, ADMIN, ("@job",)),
    Row("core:sendings", ADMIN),
    Row("core:send_again", None, ADMIN, ("@sending",)),
    Row("core:audit", ADMIN | LEADER),
    Row("core:export_audit", ADMIN | LEADER),
    Row("core:file", MANAGERS | {"qn.binhchanh"}, args=("@file",)),
    Row("places:search", ACCOUNTS, query={"q": "hoa binh"}),
    Row("places:units", ACCOUNTS),
    Row("places:suggest_units", ACCOUNTS, query={"box": "q", "q": "phuc hoa"}),
    Row("places:unit", ACCOUNTS, args=("vn.quang-ngai",)),
    Row("places:unit", NOBODY, args=("vn.khong-co",), refused=404),
    Row("places:unit_children", ACCOUNTS, args=("vn.quang-ngai",)),
    Row("places:later_panels", ACCOUNTS, args=("@subject:province",)),
    Row("places:later_panels", SEES_BINH_CHANH, args=("@subject:qn",), refused=404),
    Row("places:map", ACCOUNTS, query={"province": "vn.quang-ngai"}),
    Row("places:organisations", ACCOUNTS),
    Row("places:add_organisation", MANAGERS, MANAGERS),
    Row("places:organisation", SEES_BINH_CHANH, args=QN_ORGANISATION, refused=404),
    Row("places:organisation", SEES_CAO_BANG | {"cb.capnuoc"}, args=CB_ORGANISATION, refused=404),
    Row("places:edit_organisation", MANAGERS, MANAGERS, QN_ORGANISATION),
    Row("places:edit_organisation", ADMIN, ADMIN, CB_ORGANISATION),
    Row("places:urban_area", ACCOUNTS, args=("urban.cb.ta-lung-cu",)),
    Row("places:loans", ACCOUNTS, ACCOUNTS),
    Row("places:end_loan", None, frozenset({"qn.binhchanh"}), ("@loan",), refused=404),
    Row("places:people", ADMIN),
    Row("places:add_person", ADMIN, ADMIN),
    Row("places:suggest_scopes", ADMIN, query={"box": "q", "q": "binh chanh"}),
    Row("places:person", ADMIN, ADMIN, ("@person",)),
    Row("places:reset_password", None, ADMIN, ("@person",)),
    Row("places:set_active", None, ADMIN, ("@person",), data={"active": "0"}),
    Row("places:end_grant", None, ADMIN, ("@grant",)),
    Row("indicators:list", ACCOUNTS),
    Row("indicators:add", ADMIN, ADMIN),
    Row("indicators:detail", ACCOUNTS, args=("works.utilisation_households_pct",)),
    Row("indicators:detail", NOBODY, args=("khong.co",), refused=404),
    Row("indicators:formula", ADMIN, ADMIN, ("works.utilisation_households_pct",)),
    Row("indicators:formula_check", None, ADMIN, ("works.utilisation_households_pct",)),
    Row("indicators:bands", ADMIN, ADMIN, ("works.utilisation_households_pct",)),
    Row("indicators:value", SEES_BINH_CHANH, args=("@value:qn",), refused=404),
    Row("indicators:value", SEES_CAO_BANG | {"cb.capnuoc"}, args=("@value:cb",), refused=404),
    Row("indicators:value", ACCOUNTS, args=("@value:province",)),
    Row("indicators:value_branch", SEES_BINH_CHANH, args=("@value:qn",), refused=404),
    Row("indicators:forms", ACCOUNTS),
    Row("indicators:open_form", None, ACCOUNTS),
    Row("indicators:late_exceptions", FILLS_SHEETS, FILLS_SHEETS),
    Row("indicators:submission", SEES_BINH_CHANH, DEPARTMENTS | {"qn.binhchanh"}, ("@submission:qn",)),
    Row("indicators:submission", SEES_BINH_CHANH, LEADER | {"qn.sonnmt"}, ("@submission:qn",),
        data={"action": "approve", "version": "1"}),
    Row("indicators:submission", SEES_CAO_BANG | {"cb.capnuoc"}, frozenset({"cb.capnuoc"}), ("@submission:cb",)),
    Row("indicators:submission", SEES_CAO_BANG | {"cb.capnuoc"}, frozenset({"cb.soxaydung"}), ("@submission:cb",),
        data={"action": "approve", "version": "1"}),
    Row("indicators:queue", APPROVERS, APPROVERS),
    Row("indicators:import", WRITERS, WRITERS),
    # The empty form is for all who enter in its field; rows are listed of one's own organisations alone.
    Row("indicators:import_template", WRITERS - {"cb.capnuoc", "cb.baolac"},
        query={"form": "tram-thang", "period": "2026-01"}),
    Row("indicators:import_batch", frozenset({"qn.binhchanh"}), frozenset({"qn.binhchanh"}), ("@batch",), refused=404),
    Row("works:list", ACCOUNTS),
    Row("works:map", ACCOUNTS),
    Row("works:chart", ACCOUNTS),
    Row("works:add", MANAGERS, MANAGERS),
    Row("works:detail", SEES_BINH_CHANH, args=(QN_WORK,), refused=404),
    Row("works:history", SEES_BINH_CHANH - {"doitac"}, args=(QN_WORK,)),
    Row("works:detail", SEES_CAO_BANG | {"cb.capnuoc"}, args=(CB_WORK,), refused=404),
    *_work_acts(),
    *_task_rows(),
    *_duty_rows(),
    *_report_rows(),
    *_plans(),
    *_programme_rows(),
    *_project_rows(),
    *_desk_rows(),
    *_tariff_rows(),
    *_connection_rows(),
    *_document_rows(),
    *_money_rows(),
    *_reading_rows(),
    *_request_rows(),
    *_bill_rows(),
    *_portal_rows(),
    Row("telemetry:readings", None, NOBODY, is_for_devices=True),
    Row("telemetry:sensorthings", ACCOUNTS, is_open=True),
    Row("telemetry:sensorthings_path", ACCOUNTS, args=("HistoricalLocations",), is_open=True),  # see test_sensorthings
    Row("api:openapi-json", ACCOUNTS, is_open=True),
    Row("api:api-root", NOBODY, refused=404, is_open=True),
]  # fmt: skip


@pytest.fixture
def things(demo, db, clean_store, settings) -> dict[str, Any]:
    """Make one of each thing that an address names, belonging to the station Bình Chánh, and find the others."""
    settings.VNPAY = ("https://sandbox.vnpayment.vn", "TMN00001", "thử")
    from machnuoc.core.models import Document
    from machnuoc.works.models import Work

    now = timezone.now()
    station, operator = (Person.objects.get(username=name) for name in ("qn.binhchanh", "cb.capnuoc"))
    month = Period.containing(timezone.localdate(now), "M").previous
    token, _ = tokens.create_token(person=station, name="thử", now=now)
    notices.notify([station], kind="test", text="Có biểu cần nhập", url="/nhap-lieu/")
    stored = files.store(b"\xef\xbb\xbfCong trinh\n", name="bang.csv", by=station, kinds=frozenset({"csv"}))
    loan = places.lend_grant(  # begins later: what is seen today stays as it is
        station.grants.get(), by=station, to=Person.objects.get(username="qn.nghiaphu"),
        valid_from=timezone.localdate(now) + timedelta(days=30), valid_to=timezone.localdate(now) + timedelta(days=32),
    )  # fmt: skip
    submissions = {
        key: entry.open_submission(
            EntryForm.objects.get(key=form), Organisation.objects.get(subject__key=organisation[0]), month, by, now
        )
        for key, form, organisation, by in (
            ("qn", "tram-thang", QN_ORGANISATION, station), ("cb", "do-thi-thang", CB_ORGANISATION, operator),
        )
    }  # fmt: skip
    batch = ImportBatch.objects.create(
        form=EntryForm.objects.get(key="tram-thang"), period_start=month.start_date, file=stored, file_name="bang.csv",
        uploaded_by=station, uploaded_at=now,
    )  # fmt: skip
    qn_work = Work.objects.get(operator__isnull=False, subject__name="Trạm Bình Chánh")
    return {
        "@token": token.pk, "@notice": station.notices.get().pk, "@file": stored.pk, "@loan": loan.pk,
        "@job": jobs.enqueue("core.seal_audit").pk, "@document": Document.objects.first().key,
        "@person": operator.pk, "@grant": operator.grants.get().pk,
        "@submission:qn": submissions["qn"].pk, "@submission:cb": submissions["cb"].pk, "@batch": batch.pk,
        "@work:qn": qn_work.subject.key, "@subject:qn": qn_work.pk,
        "@subject:province": Subject.objects.get(key="vn.quang-ngai").pk,
        "@value:qn": Value.objects.filter(subject=qn_work.subject)[0].pk,
        "@value:cb": Value.objects.filter(subject__key=CB_WORK)[0].pk,
        "@value:province": Value.objects.filter(subject__key="vn.quang-ngai")[0].pk,
        **_task_things(station, now),
        **_duty_things(station, now),
        **_report_things(now),
        **_roster_things(),
        **_plan_things(),
        **_programme_things(),
        **_project_things(),
        **_desk_things(now),
        **_tariff_things(),
        **_connection_things(now),
        **_bill_things(now),
        **_document_things(now),
        **_money_things(now),
        **_reading_things(now),
        **_request_things(now),
    }  # fmt: skip


def _task_things(station: Person, now: datetime) -> dict[str, Any]:
    """Report on a task, hold a meeting, run a campaign and upload a sheet of tasks."""
    from machnuoc.planning import task_operations
    from machnuoc.planning.models import Task, TaskImport

    department = Person.objects.get(username="qn.khkt")
    team = Organisation.objects.get(subject__key=QN_ORGANISATION[0])
    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    task = Task.objects.get(key=QN_TASK)
    evidence = files.store(b"%PDF-1.4 minh chung", name="bien-ban.pdf", by=station, kinds=frozenset({"pdf"}))
    task_operations.add_progress(
        task, organisation=team, state="DOING", text="Vận hành ổn định", files=[evidence], by=station, now=now
    )
    meeting = task_operations.put_meeting(
        kind="MEETING", title="Giao ban quý", host=centre, subject=centre.subject, held_on=timezone.localdate(now),
        conclusions=[(None, "Rà soát tiến độ")], files=[evidence], by=department,
    )  # fmt: skip
    campaign = task_operations.put_campaign(
        kind="TRAINING", title="Tập huấn vận hành", organisation=team, subject=team.subject,
        from_date=timezone.localdate(now), to_date=timezone.localdate(now), audience="công nhân vận hành",
        files=[evidence], by=station,
    )  # fmt: skip
    batch = TaskImport.objects.create(
        plan=task.plan, subject=centre.subject, file=evidence, file_name="nhiem-vu.csv", uploaded_by=department,
        uploaded_at=now,
    )  # fmt: skip
    return {
        "@evidence": evidence.pk, "@meeting": meeting.pk, "@conclusion": meeting.conclusions.get().pk,
        "@campaign": campaign.pk, "@task_import": batch.pk,
    }  # fmt: skip


def _duty_things(station: Person, now: datetime) -> dict[str, Any]:
    """Ask the station for a report, and give it a calendar feed."""
    from machnuoc.planning import duty_operations
    from machnuoc.planning.models import Duty

    today = timezone.localdate(now)
    instance = duty_operations.add_ad_hoc(
        Duty.objects.get(key=QN_DUTY), organisations=[Organisation.objects.get(subject__key=QN_ORGANISATION[0])],
        due_on=today + timedelta(days=9), reason="Công văn thử", today=today,
    )[0]  # fmt: skip
    return {"@duty": instance.pk, "@feed": duty_operations.make_feed(station, now)}


def _report_things(now: datetime) -> dict[str, Any]:
    """Write two reports of the centre, and sign one of them."""
    from machnuoc.reports import operations

    centre = Organisation.objects.get(subject__key="org.qn.trung-tam")
    writer, director = (Person.objects.get(username=name) for name in ("qn.khkt", "qn.lanhdao"))
    month = Period.containing(timezone.localdate(now), "M")
    draft, signed = (
        operations.prepare("qn_monthly", centre, month.shift(-back), by=writer, now=now) for back in (14, 15)
    )
    for section in signed.sections.all():
        operations.save_section(section, "Không có.", version=section.version, by=writer, now=now)
    operations.submit(signed, by=writer, now=now)
    operations.approve(signed, by=director, now=now)
    return {"@report": draft.pk, "@report_signed": signed.pk, "@report_section": draft.sections.first().pk}


def _roster_things() -> dict[str, Any]:
    """Give a station a duty roster with one shift, and leave a message that could not go."""
    from machnuoc.core import roster, sending

    person = Person.objects.get(username="qn.binhchanh")
    told = sending.queue(
        key="matrix", channel="SMS", person=person, title="Cao", text="Clo thấp", now=timezone.now(), address="0"
    )
    assert told is not None
    team = Organisation.objects.get(subject__key=QN_ORGANISATION[0])
    made = roster.put_roster(subject_id=team.pk, name="Trạm Bình Chánh", by=None)
    roster.add_shifts(made, weekdays=[0], start=time(18), end=time(6), person=person, by=None)
    return {"@roster": made.pk, "@sending": told.pk}


def _plan_things() -> dict[str, Any]:
    """Let the centre send a proposal for its target."""
    from machnuoc.planning import plan_operations
    from machnuoc.planning.models import Target

    department = Person.objects.get(username="qn.khkt")
    target = Target.objects.get(plan__key=QN_TARGET[0], key=QN_TARGET[1])
    proposal = plan_operations.save_proposal(
        target, Organisation.objects.get(subject__key="org.qn.trung-tam"), cause_kind="OBJECTIVE", cause="Mưa lũ",
        solution="Đấu nối bù", by=department,
    )  # fmt: skip
    plan_operations.submit_proposal(proposal, by=department, now=timezone.now())
    return {"@proposal": proposal.pk, "@target": target.pk}


def _programme_things() -> dict[str, Any]:
    """Let the administrator put evidence to an assessment of a programme."""
    from machnuoc.planning import programme_operations
    from machnuoc.planning.models import Assessment, RoadmapEntry, Threshold

    part = programme_operations.get_sub_indicator("xa-ntm-2021-2025", "17.1")
    row = Assessment.objects.get(programme__plan__key=KH_PROGRAMME, unit__key=KH_PLACE[1], sub_indicator=part)
    proof = files.store(b"noi,so\nSon Binh,1\n", name="minh-chung.csv", by=None, kinds=frozenset({"csv"}))
    row.files.add(proof)
    entry = RoadmapEntry.objects.filter(programme__plan__key=KH_PROGRAMME, is_recognised=False).first()
    return {
        "@criterion": part.criterion_id, "@sub_indicator": part.pk, "@assessment": row.pk, "@assessment_file": proof.pk,
        "@roadmap_entry": entry.pk if entry else 0, "@threshold": Threshold.objects.first().pk,  # type: ignore[union-attr]
    }  # fmt: skip


def _project_things() -> dict[str, Any]:
    from machnuoc.planning import project_operations as projects
    from machnuoc.planning.models import Handover, HandoverPaper, Plan, Project

    today = timezone.localdate()
    project = Project.objects.select_related("subject").get(subject__key=CB_PROJECT)
    projects.put_fund(
        plan=Plan.objects.get(key=KH_PROGRAMME), order=99, name="Vốn thử", amount_vnd=1, amount_as_printed="1"
    )
    offered = Handover.objects.get()
    deed = files.store(b"%PDF-1.4 ho so dat", name="ho-so-dat.pdf", by=None, kinds=frozenset({"pdf"}))
    return {
        "@paper": HandoverPaper.objects.create(handover=offered, name="Hồ sơ đất đai", file=deed).pk,
        "@disbursement": projects.disburse(project, on_date=today, amount_vnd=1_000, today=today).pk,
        "@volume": projects.accept_volume(project, on_date=today, amount_vnd=2_000, today=today).pk,
        "@milestone": projects.put_milestone(project, name="Khởi công", today=today).pk,
        "@obstacle": projects.raise_obstacle(project, text="Mặt bằng", raised_on=today, today=today).pk,
        "@handover": offered.pk,
    }  # fmt: skip


def _desk_things(now: datetime) -> dict[str, Any]:
    """Give Trạm Bình Chánh a device that sends, an alarm, a maintenance and a message that nobody can read."""
    from machnuoc.telemetry import alarm_operations, credentials, store
    from machnuoc.telemetry.models import DeviceImport, OwnQuantity, QualityLimit
    from machnuoc.telemetry.tests import desk

    device = desk.make_device("bc-matrix", now=now)
    desk.send(device, "{", now)
    alarm = desk.make_alarm(device, now)
    credential, _ = credentials.make(device, None, now)
    maintenance = alarm_operations.plan_maintenance(
        device.work, from_at=now, until=now + timedelta(hours=2), reason="Rửa bể", now=now,
        by=Person.objects.get(username="qn.khkt"),
    )  # fmt: skip
    by = Person.objects.get(username="qn.khkt")
    stored = files.store(b"a;b\n", name="thiet-bi.csv", by=by, kinds=frozenset({"csv"}))
    sheet = DeviceImport.objects.create(
        kind="DEVICES", file=stored, file_name="thiet-bi.csv", uploaded_by=by, uploaded_at=now
    )
    limit = QualityLimit.objects.create(
        subject_id=device.work_id, quantity="ph", low=6, standard="thử", source="thử", confidence="RECALLED"
    )
    own = OwnQuantity.objects.create(key="nitrate", name="Nitrat", unit="mg/L", kind="INSTANT", low=0, high=500)
    sql = "SELECT max(id) FROM telemetry_quarantine WHERE device = ?"
    return {
        "@device": device.code, "@alarm": alarm.pk, "@rule": alarm.rule_id, "@credential": credential.pk,
        "@channel": device.channels.get(key="total").pk, "@maintenance": maintenance.pk, "@limit": limit.pk,
        "@own_quantity": own.key, "@sheet": sheet.pk, "@quarantined": store.query(sql, [device.pk])[0][0],
    }  # fmt: skip


def _tariff_things() -> dict[str, Any]:
    """Give the centre a tariff of a year far ahead, a draft, and an environment fee."""
    from machnuoc.billing import tariff_operations, tariff_queries

    leader = Person.objects.get(username="qn.lanhdao")
    scope = Subject.objects.get(key="org.qn.trung-tam")
    said = {
        "scope": scope, "area": "RURAL", "decision": "thử", "vat_basis_points": 500, "includes_vat": False,
        "rows": tariff_queries.list_examples()[0].rows, "by": leader,
    }  # fmt: skip
    day = timezone.localdate().replace(year=2090, month=1, day=1)
    tariff, draft = (tariff_operations.add_draft(name=name, valid_from=day, **said) for name in ("Giá thử", "Giá soạn"))
    tariff_operations.put_in_force(tariff, valid_from=day, by=leader, is_confirmed=True)
    rule = tariff_operations.add_fee_rule(
        scope=scope, group="SX", basis_points=0, valid_from=day, document="thử", is_verified=False, by=leader
    )
    return {"@tariff": tariff.key, "@tariff_draft": draft.key, "@fee_rule": rule.pk}


def _bill_things(now: datetime) -> dict[str, Any]:
    """Give the connection of Bình Chánh a run that was opened, a bill, and a wish to correct it."""
    from machnuoc.billing.models import Bill, BillingRun, Correction, InvoiceSeries, Tariff
    from machnuoc.customers.models import Connection

    home = Connection.objects.select_related("customer", "work").get(code="THU-MATRIX")
    operator = home.customer.operator
    month = timezone.localdate(now).replace(year=2025, month=1, day=1)  # others bill newer ones
    by = Person.objects.get(username="qn.khkt")
    run = BillingRun.objects.create(
        operator=operator, scope=operator.subject, period_start_date=month, created_at=now, created_by=by
    )
    series, _ = InvoiceSeries.objects.get_or_create(operator=operator, is_active=True, defaults={"code": "K26THU"})
    bill = Bill.objects.create(
        series=series, number=990_001, operator=operator, connection=home, customer=home.customer,
        period_start_date=month, from_date=month - timedelta(days=31), to_date=month, group="SH",
        tariff=Tariff.objects.latest("pk"), volume_l=1_000, net_vnd=6_000, vat_vnd=300, fee_vnd=600, total_vnd=6_900,
        due_date=month + timedelta(days=15), issued_at=now,
    )  # fmt: skip
    wish = Correction.objects.create(
        bill=bill, way="ADJUST", reason="thử", requested_at=now, requested_by=by,
        said={"volume_l": 2_000, "group": "SH", "households": 1, "persons": 0},
        becomes={"total": 0, "was_total": 6_900, "seen": 0},
    )  # fmt: skip
    lower = Bill.objects.create(
        series=series, number=990_002, operator=operator, connection=home, customer=home.customer, corrects=bill,
        kind="ADJUSTMENT_DOWN", period_start_date=month, from_date=bill.from_date, to_date=month, group="SH",
        tariff=bill.tariff, volume_l=0, net_vnd=-1_000, vat_vnd=0, fee_vnd=0, total_vnd=-1_000,
        due_date=bill.due_date, issued_at=now,
    )  # fmt: skip
    return {"@run": run.pk, "@bill": bill.pk, "@correction": wish.pk, "@credit_bill": lower.pk}


def _connection_things(now: datetime) -> dict[str, Any]:
    """Give Bình Chánh a customer with a contract, somebody who wants a connection, and an uploaded sheet."""
    from machnuoc.customers import application_operations, connection_operations
    from machnuoc.customers.models import ConnectionImport
    from machnuoc.works.models import Work

    by = Person.objects.get(username="qn.khkt")
    work = Work.objects.get(operator__isnull=False, subject__name="Trạm Bình Chánh")
    one = connection_operations.create_connection(
        work=work, customer=connection_operations.CustomerFacts("Người Thử"), by=by, now=now, code="THU-MATRIX",
        facts=connection_operations.ConnectionFacts("Thôn thử"), connected_date=timezone.localdate(now),
        contract_number="THU-MATRIX/HĐ",
    )  # fmt: skip
    facts = application_operations.ApplicationFacts("Người Xin", "Thôn thử")
    application = application_operations.open_application(work=work, facts=facts, by=by, now=now)
    paper = files.store(b"%PDF-1.4 bao gia", name="bao-gia.pdf", by=by, kinds=frozenset({"pdf"}))
    application_operations.advance(application, at=now, by=by, now=now, quote_vnd=0, paper=paper)
    stored = files.store(b"a,b\n1,2\n", name="dau-noi.csv", by=by, kinds=frozenset({"csv"}))
    sheet = ConnectionImport.objects.create(
        kind="CONNECTIONS", file=stored, file_name="dau-noi.csv", uploaded_by=by, uploaded_at=now,
        found={"problems": [], "good": []},
    )  # fmt: skip
    return {
        "@connection": one.code, "@contract": one.contracts.get().pk, "@application": application.code,
        "@application_step": application.steps.get(paper=paper).pk, "@connection_import": sheet.pk,
    }  # fmt: skip


def _document_things(now: datetime) -> dict[str, Any]:
    """Give the connection a bill with its e-invoice, and the department a printed batch."""
    from machnuoc.billing import einvoice_operations, print_batches
    from machnuoc.billing.models import Bill, BillingProfile, EInvoice, InvoiceSeries, Tariff
    from machnuoc.customers.models import Connection

    one = Connection.objects.select_related("work__operator").get(code="THU-MATRIX")
    operator, by, today = one.work.operator, Person.objects.get(username="qn.khkt"), timezone.localdate(now)
    BillingProfile.objects.get_or_create(
        operator=operator, defaults={"legal_name": "Thử", "tax_code": "0000000000", "address": "Thử"}
    )
    series = InvoiceSeries.objects.create(operator=operator, code="K99TXX", is_active=False)
    bill = Bill.objects.create(
        series=series, number=1, operator=operator, connection=one, customer=one.customer,
        period_start_date=today.replace(day=1), from_date=today, to_date=today + timedelta(days=30), group="SH",
        tariff=Tariff.objects.get(name="Giá thử"), volume_l=0, net_vnd=0, vat_vnd=0, fee_vnd=0, total_vnd=0,
        due_date=today, issued_at=now, issued_by=by, is_simulated=True,
    )  # fmt: skip
    einvoice_operations.sign_bills([bill.pk], now)
    (batch,) = print_batches.order(Bill.objects.filter(pk=bill.pk), title="Thử", paper="a5", by=by, now=now)
    print_batches.make(batch)
    return {"@einvoice": EInvoice.objects.get(bill=bill).pk, "@printed_bill": bill.pk, "@print": batch.pk}


def _money_things(now: datetime) -> dict[str, Any]:
    """Let the connection owe, pay ahead, ask money back and be followed; fill a drawer, a sheet, a statement."""
    from machnuoc.billing import debts, ledger, payments, refunds
    from machnuoc.billing.models import (
        BankLine,
        BankStatement,
        Bill,
        CollectionSheet,
        GatewayOrder,
        GatewaySettlement,
        InvoiceSeries,
        Tariff,
        TillSession,
    )  # fmt: skip
    from machnuoc.customers.models import Connection, Route

    one = Connection.objects.select_related("work__operator", "customer").get(code="THU-MATRIX")
    operator, today = one.work.operator, timezone.localdate(now)
    by, cashier = (Person.objects.get(username=name) for name in ("qn.khkt", "qn.thungan"))
    paid = payments.record_payment(
        connection=one, amount_vnd=9_000, method="BANK", received_at=now, now=now, by=by, external_id="thu-matrix"
    )
    refund = refunds.request_refund(paid, amount_vnd=1_000, reason="Trả thừa", now=now, by=by)
    bill = Bill.objects.create(
        series=InvoiceSeries.objects.get(code="K99TXX"), number=2, operator=operator, connection=one,
        customer=one.customer, period_start_date=today.replace(day=1) - timedelta(days=90), from_date=today,
        to_date=today + timedelta(days=30), group="SH", tariff=Tariff.objects.get(name="Giá thử"), volume_l=0,
        net_vnd=100_000, vat_vnd=5_000, fee_vnd=0, total_vnd=105_000, due_date=today - timedelta(days=40),
        issued_at=now, is_simulated=True,
    )  # fmt: skip
    ledger.post(ledger.bill_moves(bill, now))
    case = debts.open_case(one, now=now, by=by)
    proof = files.store(b"%PDF-1.4 thong bao", name="thong-bao.pdf", by=by, kinds=frozenset({"pdf"}))
    step = debts.give_notice(case, document="1/TB", proof=proof, now=now, by=by)
    drawer = TillSession.objects.create(
        operator=operator, person=cashier, state="CLOSED", opened_at=now, closed_at=now, expected_vnd=0, counted_vnd=0
    )
    route = Route.objects.create(code="THU-MATRIX", name="Tuyến thử", work=one.work)
    sheet = CollectionSheet.objects.create(route=route, collector=by, made_at=now)
    sheet.bills.add(bill)
    order = GatewayOrder.objects.create(
        gateway="vnpay", reference="thu-matrix", connection=one, amount_vnd=105_000, created_at=now, expires_at=now
    )
    statement = BankStatement.objects.create(
        operator=operator, file=proof, bank="Thử", imported_at=now, imported_by=by, layout={"date": "Ngày"}
    )
    line = BankLine.objects.create(
        statement=statement,
        operator=statement.operator,
        row=2,
        booked_at=now,
        amount_vnd=1_000,
        text="thử",
        bank_reference="Thử:1",
    )
    settlement = GatewaySettlement.objects.create(
        operator=operator, gateway="vnpay", paid_date=today, document="THU-MATRIX", gross_vnd=1_000, fee_vnd=0,
        net_vnd=1_000, at=now,
    )  # fmt: skip
    return {
        "@settlement": settlement.pk, "@payment": paid.pk, "@refund": refund.pk, "@till": drawer.pk,
        "@collection_sheet": sheet.pk,
        "@gateway_order": order.pk, "@statement": statement.pk, "@bank_line": line.pk, "@debt_case": case.pk,
        "@debt_step": step.pk,
    }  # fmt: skip


def _request_things(now: datetime) -> dict[str, Any]:
    """Give Bình Chánh a request with a photo, a work order and a rule of routing."""
    from machnuoc.customers import notice_operations, request_operations, work_orders
    from machnuoc.customers.models import Category
    from machnuoc.customers.tests import fixtures_requests
    from machnuoc.works.models import Work

    by = Person.objects.get(username="qn.khkt")
    work = Work.objects.select_related("operator__subject").get(operator__isnull=False, subject__name="Trạm Bình Chánh")
    photo = files.store(fixtures_requests.png(), name="anh.png", by=by, kinds=frozenset({"png"}))
    one = request_operations.receive(
        category=Category.objects.get(key="mat-nuoc"), channel="PHONE", text="Mất nước", now=now, work=work,
        latitude=15.2, longitude=108.7, photos=[photo], by=by,
    )  # fmt: skip
    order = work_orders.create(kind="REPAIR", text="Sửa ống", request=one, now=now, by=by)
    routing = request_operations.set_routing(
        work.operator, work=work, category=None, unit=work.operator, by=by  # type: ignore[arg-type]
    )  # fmt: skip
    said = notice_operations.NoticeFacts("INFO", "Đổi giờ trực", "Quầy thu mở thêm sáng thứ bảy.", [work], now)
    told = notice_operations.publish(said, by=by, now=now)
    return {
        "@request": one.code, "@request_token": one.token, "@request_photo": one.photos.get().pk,
        "@work_order": order.code, "@routing": routing.pk, "@service_notice": told.pk,
    }  # fmt: skip


def _reading_things(now: datetime) -> dict[str, Any]:
    """Give a connection of Bình Chánh a meter, a route with an open round, a reading that waits with its photo."""
    from machnuoc.customers import connection_operations, meters, readings
    from machnuoc.customers.models import ReadingImport, Round, Route
    from machnuoc.works.models import Work

    by = Person.objects.get(username="qn.khkt")
    work = Work.objects.get(operator__isnull=False, subject__name="Trạm Bình Chánh")
    route = Route.objects.create(code="T-MATRIX", name="Tuyến thử", work=work)
    one = connection_operations.create_connection(
        work=work, customer=connection_operations.CustomerFacts("Người Ghi Thử"), by=by, now=now, code="THU-DONG-HO",
        facts=connection_operations.ConnectionFacts("Thôn thử"), contract_number="THU-DONG-HO/HĐ",
        connected_date=timezone.localdate(now) - timedelta(days=40),
    )  # fmt: skip
    type(one).objects.filter(pk=one.pk).update(route=route)
    fitting = meters.fit(one, at=now - timedelta(days=39), by=by, serial="MATRIX-1", now=now)
    photo = files.store(b"\x89PNG\r\n\x1a\n" + b"0" * 64, name="dong-ho.png", by=by, kinds=frozenset({"png"}))
    held = readings.take_reading(
        one, read_at=now - timedelta(days=1), index_l=9_000_000, source="OFFICE", person=by, photo=photo, now=now
    )
    shown = Round.objects.create(
        route=route, period_start_date=held.reading.period_start_date, opened_at=now, opened_by=by
    )
    stored = files.store(b"Ma;CS\n1;2\n", name="chi-so.csv", by=by, kinds=frozenset({"csv"}))
    sheet = ReadingImport.objects.create(
        file=stored, file_name="chi-so.csv", uploaded_by=by, uploaded_at=now, previewed_at=now
    )
    return {
        "@round": shown.pk, "@route": route.code, "@reading": held.reading.pk, "@reading_import": sheet.pk,
        "@meter": fitting.meter_id, "@metered": one.code,
    }  # fmt: skip


def _list_names(resolver: URLResolver, namespace: str = "") -> Iterable[str]:
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            yield from _list_names(pattern, pattern.namespace or namespace)
        else:
            yield f"{namespace}:{pattern.name}" if namespace else str(pattern.name)


def test_every_address_has_a_row():
    names = set(_list_names(get_resolver())) - _api_names()

    assert names - {row.name for row in ROWS} == set()
    assert {row.name for row in ROWS} - names == set()


def _api_names() -> set[str]:
    paths = [path for _, router in api._routers for path in router.path_operations.values()]
    return {f"api:{operation.view_func.__name__}" for path in paths for operation in path.operations}


def test_every_demo_account_is_walked(demo):
    assert set(Person.objects.filter(is_demo=True).values_list("username", flat=True)) == ACCOUNTS
    assert not Grant.objects.exclude(person__username__in=ACCOUNTS).exists()


# Rights are the same on every database: there a few accounts show that each page is answered.
_ON_EVERY_DATABASE = {STRANGER, "quantri", "qn.binhchanh", "cb.capnuoc", "qn.thungan"}
_ASKING = [
    pytest.param(username, marks=() if username in _ON_EVERY_DATABASE else pytest.mark.sqlite)
    for username in [STRANGER, *sorted(ACCOUNTS)]
]


@pytest.mark.parametrize("username", _ASKING)
def test_whoever_asks_gets_what_is_theirs_and_nothing_else(things, username):
    person = Person.objects.get(username=username) if username else None
    wrong = [
        complaint
        for row in ROWS
        for method in ("GET", "POST")
        if (complaint := _ask(row, method, username, person, things))
    ]

    assert not wrong, f"{username or 'a stranger'}:\n" + "\n".join(wrong)


def _ask(row: Row, method: str, username: str, person: Person | None, things: dict[str, Any]) -> str:
    """Return what is wrong with the answer, or nothing. What the request changes is taken back."""
    address = reverse(row.name, args=[things.get(part, part) for part in row.args])
    with transaction.atomic():
        client = Client(raise_request_exception=False)
        if person is not None:
            client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        answer = client.get(address, row.query) if method == "GET" else client.post(address, row.data)
        if answer.streaming:
            b"".join(answer.streaming_content)
        transaction.set_rollback(True)
    return _judge(f"{row.name} {method} {address}", answer, _expected(row, method, username))


def _judge(what: str, answer: Any, expected: set[int]) -> str:
    status = answer.status_code
    to_sign_in = status == 302 and answer["Location"].startswith(reverse("core:sign_in"))
    if what.startswith("portal:") and "portal:staff_" not in what and expected == {302} and status == 302:
        return "" if answer["Location"].startswith(reverse("portal:sign_in")) else f"  {what}: to {answer['Location']}"
    if status in expected and (not to_sign_in or expected == {302} or what.startswith("core:sign_out")):
        return ""
    return f"  {what}: {status}{' to sign-in' if to_sign_in else ''}, expected {sorted(expected)}"


def _expected(row: Row, method: str, username: str) -> set[int]:
    welcome = row.get if method == "GET" else row.post
    if row.is_for_devices:
        return {405} if welcome is None else {401}
    if row.is_for_customers:
        return {405} if welcome is None else {302}
    if username == STRANGER:
        if row.is_for_programs:
            return {405} if welcome is None else {401}
        if not row.is_open:
            return {302}
        if method == "POST" and welcome is not None:
            return IN
        return {404} if row.name == "api:api-root" else {405} if welcome is None else {200, 302}
    if welcome is None:
        return {405} if row.name != "api:api-root" else {404}
    if username in welcome:
        return {row.shown} if method == "GET" else IN
    return {row.refused} if row.refused == 404 else OUT


# --- the API ----------------------------------------------------------------------------------------------------

MONTH = "2026-01"
BINH_CHANH = {"form_key": "tram-thang", "organisation_key": QN_ORGANISATION[0]}


@dataclass(frozen=True)
class Call:
    """Who gets in at one operation of the API; the others get 403 or 404, a stranger 401."""

    method: str
    path: str
    who: frozenset[str]
    of: str = ""  # what stands for the parameter of the path
    body: dict[str, Any] | None = None
    query: dict[str, str] = field(default_factory=dict)


CALLS = [
    Call("get", "/api/v1/units", ACCOUNTS),
    Call("get", "/api/v1/units/{key}", ACCOUNTS, "vn.quang-ngai"),
    Call("get", "/api/v1/organisations", ACCOUNTS),
    Call("get", "/api/v1/organisations/{key}", SEES_BINH_CHANH, QN_ORGANISATION[0]),
    Call("get", "/api/v1/organisations/{key}", SEES_CAO_BANG | {"cb.capnuoc"}, CB_ORGANISATION[0]),
    Call("get", "/api/v1/works", ACCOUNTS),
    Call("get", "/api/v1/works/{key}", SEES_BINH_CHANH, QN_WORK),
    Call("get", "/api/v1/works/{key}", SEES_CAO_BANG | {"cb.capnuoc"}, CB_WORK),
    Call("get", "/api/v1/metrics", ACCOUNTS),
    Call("get", "/api/v1/metrics/{key}", ACCOUNTS, "works.households_connected"),
    Call("get", "/api/v1/values", ACCOUNTS),
    Call("get", "/api/v1/figures/{value_id}", SEES_BINH_CHANH, "@value:qn"),
    Call("get", "/api/v1/figures/{value_id}", SEES_CAO_BANG | {"cb.capnuoc"}, "@value:cb"),
    Call("get", "/api/v1/figures/{value_id}", ACCOUNTS, "@value:province"),
    Call("get", "/api/v1/forms", ACCOUNTS),
    Call("get", "/api/v1/submissions", ACCOUNTS),
    Call("post", "/api/v1/submissions", DEPARTMENTS | {"qn.binhchanh"}, body=BINH_CHANH | {"period": MONTH}),
    Call("get", "/api/v1/submissions/{submission_id}", SEES_BINH_CHANH, "@submission:qn"),
    Call("get", "/api/v1/submissions/{submission_id}", SEES_CAO_BANG | {"cb.capnuoc"}, "@submission:cb"),
    Call("put", "/api/v1/submissions/{submission_id}/cells", DEPARTMENTS | {"qn.binhchanh"}, "@submission:qn",
         {"version": 1, "cells": []}),
    Call("put", "/api/v1/submissions/{submission_id}/cells", frozenset({"cb.capnuoc"}), "@submission:cb",
         {"version": 1, "cells": []}),
    Call("post", "/api/v1/submissions/{submission_id}/submit", DEPARTMENTS | {"qn.binhchanh"}, "@submission:qn",
         {"version": 1}),
    # projects
    Call("get", "/api/v1/projects", ACCOUNTS),
    Call("get", "/api/v1/projects/oc4ids", ACCOUNTS),
    Call("get", "/api/v1/projects/{key}", SEES_QUANG_NGAI, QN_PROJECT),
    Call("get", "/api/v1/projects/{key}", SEES_CAO_BANG | {"cb.capnuoc"}, CB_PROJECT),
    Call("post", "/api/v1/projects/{key}/disbursements", ADMIN | {"cb.capnuoc"}, CB_PROJECT,
         {"on_date": "2026-01-05", "amount_vnd": 1_000}),
    # duties
    Call("get", "/api/v1/duties", ACCOUNTS),
    Call("get", "/api/v1/duty-instances", ACCOUNTS),
    Call("post", "/api/v1/duty-instances/{instance_id}/submit", MANAGERS | {"qn.binhchanh"}, "@duty",
         {"submitted_on": "2026-01-15", "note": "12/BC"}),
    # reports
    Call("get", "/api/v1/reports", ACCOUNTS),
    Call("get", "/api/v1/reports/{report_id}", INSIDE_CENTRE, "@report"),
    Call("get", "/api/v1/reports/{report_id}/snapshot", INSIDE_CENTRE, "@report_signed"),
    Call("post", "/api/v1/reports/{report_id}/receipts", DEPARTMENTS, "@report_signed", {"receipt": "Đến số 3"}),
    # tasks
    Call("get", "/api/v1/criteria-sets", ACCOUNTS),
    Call("get", "/api/v1/criteria-sets/{key}", ACCOUNTS, "xa-ntm-2021-2025"),
    Call("get", "/api/v1/programmes/{key}/assessments", SEES_KHANH_HOA, KH_PROGRAMME),
    Call("get", "/api/v1/plans", ACCOUNTS),
    Call("get", "/api/v1/plans/{key}", SEES_QN_TASK, QN_PLAN),
    Call("get", "/api/v1/targets", ACCOUNTS),
    Call("get", "/api/v1/targets/{target_id}", SEES_QN_TASK, "@target"),
    Call("get", "/api/v1/tasks", ACCOUNTS),
    Call("get", "/api/v1/tasks/{key}", SEES_QN_TASK, QN_TASK),
    Call("post", "/api/v1/tasks/{key}/progress", DEPARTMENTS | {"qn.binhchanh"}, QN_TASK,
         {"organisation_key": QN_ORGANISATION[0], "state": "DOING", "text": "Vận hành ổn định"}),
    Call("post", "/api/v1/tasks/{key}/progress", frozenset({"cb.soxaydung"}), OF_CB_AGENCY,
         {"organisation_key": "org.cb.so-xay-dung", "state": "DOING", "text": "Đã hướng dẫn"}),
    # tariffs
    Call("get", "/api/v1/tariffs", ACCOUNTS),
    Call("get", "/api/v1/bills", ACCOUNTS - {"qn.ghichiso"}),
    Call("get", "/api/v1/bills/{bill_id}", SEES_BINH_CHANH_BILLS, "@bill"),
    Call("get", "/api/v1/payments", SERVES),
    Call("get", "/api/v1/payments/{payment_id}", SERVES_BINH_CHANH, "@payment"),
    Call("get", "/api/v1/einvoices", BILLS),
    Call("get", "/api/v1/einvoices/{bill_id}", BILLS, "@printed_bill"),
    Call("post", "/api/v1/tariffs/try", SEES_QN_TARIFFS, "", {
        "tariff_key": "gia-thu-209001", "from_date": "2090-01-01", "to_date": "2090-02-01", "volume_l": 12_000,
        "shares": [{"group": "SH"}],
    }),
    # readings
    Call("get", "/api/v1/readings", ACCOUNTS),
    Call("post", "/api/v1/readings", READS_BINH_CHANH, "", {
        "connection_code": "THU-DONG-HO", "read_at": "2026-01-05T00:00:00Z", "no_access": "DOG",
    }),
    # connections
    Call("get", "/api/v1/connections", ACCOUNTS),
    Call("get", "/api/v1/connections/{code}", SEES_BINH_CHANH | {"qn.thungan"}, "@connection"),
    # requests
    Call("get", "/api/v1/complaints", ACCOUNTS),
    Call("get", "/api/v1/complaints/statistics", ACCOUNTS, query={"period": "2026-07"}),
    Call("get", "/api/v1/complaints/{code}", SEES_BINH_CHANH | {"qn.thungan"}, "@request"),
    Call("post", "/api/v1/complaints", SERVES_BINH_CHANH,
         body={"category": "khac", "text": "Vòi hỏng", "work_key": "work.qn.binh-chanh"}),
    Call("post", "/api/v1/complaints/{code}/answer", SERVES_BINH_CHANH, "@request",
         {"text": "Đã sửa xong", "version": 1}),
    *(Call("get", f"/api/v1/telemetry/{name}", ACCOUNTS) for name in ("devices", "channels", "latest", "alarms")),
    Call("get", "/api/v1/telemetry/ledger", ACCOUNTS, query={"from_date": "2026-01-01", "to_date": "2026-01-31"}),
    Call("get", "/api/v1/telemetry/channels/{channel_id}/series", SEES_BINH_CHANH, "@channel",
         query={"from_at": "2026-01-01T00:00:00Z", "to_at": "2026-01-02T00:00:00Z"}),
    Call("post", "/api/v1/telemetry/alarms/{alarm_id}/ack", DEPARTMENTS | {"qn.binhchanh"}, "@alarm",
         {"note": "Đã xem"}),
]  # fmt: skip


def test_every_operation_of_the_api_has_a_row():
    described = {(method, path) for path, methods in api.get_openapi_schema()["paths"].items() for method in methods}

    assert {(call.method, call.path) for call in CALLS} == described


@pytest.mark.parametrize("username", _ASKING)
def test_a_program_gets_what_its_person_gets(things, username):
    headers = {}
    if username:
        person = Person.objects.get(username=username)
        _, raw = tokens.create_token(person=person, name="ma trận", now=timezone.now(), can_write=True)
        headers = {"Authorization": f"Bearer {raw}"}

    wrong = [complaint for call in CALLS if (complaint := _call(call, username, headers, things))]

    assert not wrong, f"{username or 'a stranger'}:\n" + "\n".join(wrong)


def _call(call: Call, username: str, headers: dict[str, str], things: dict[str, Any]) -> str:
    head, brace, rest = call.path.partition("{")
    address = head + str(things.get(call.of, call.of)) + rest.partition("}")[2] if brace else call.path
    if call.query:
        address = f"{address}?{urlencode(call.query)}"
    with transaction.atomic():
        answer = Client(raise_request_exception=False).generic(
            call.method.upper(), address, json.dumps(call.body) if call.body else "",
            content_type="application/json", headers=headers,
        )  # fmt: skip
        transaction.set_rollback(True)
    expected = {401} if username == STRANGER else {200, 201, 409} if username in call.who else OUT
    complaint = _judge(f"{call.method} {address}", answer, expected)
    is_problem = answer["Content-Type"].startswith("application/problem+json")
    if not complaint and answer.status_code >= 400 and not is_problem:
        return f"  {call.method} {address}: an error that is no problem+json"
    return complaint


ODD_QUERIES: list[dict[str, Any]] = [
    dict.fromkeys((
        "page", "sort", "period", "scenario", "q", "province", "commune", "operator", "status", "sector", "kind", "tab",
        "level", "view", "form", "organisation", "group", "parts", "warning", "export", "band", "field", "from", "to",
    ), "không có"),
    dict.fromkeys(("page", "sort", "period", "group", "parts", "organisation", "form", "from", "to"), "-1"),
    dict.fromkeys(("page", "group", "parts", "organisation", "operator", "province", "form", "period"), "9" * 40),
    {"q": "%' OR \\"},
    {"q": "a" * 5_000},
    {"sort": ["name", "-name"], "status": ["RUNNING", "x"], "page": "1e9"},
    {"export": "xlsx"},
    {"export": "csv", "q": "=1+1"},
]  # fmt: skip


def test_no_odd_query_breaks_a_page(things):
    client = Client(raise_request_exception=False)
    client.force_login(Person.objects.get(username="quantri"), backend="django.contrib.auth.backends.ModelBackend")
    asked = [(row.name, [things.get(part, part) for part in row.args]) for row in ROWS if row.get]
    asked += [
        (name, [10**30 if isinstance(arg, int) else arg for arg in args])
        for name, args in asked
        if any(isinstance(arg, int) for arg in args)
    ]
    addresses = {reverse(name, args=args) for name, args in asked}

    broken = []
    for address in sorted(addresses):
        for query in ODD_QUERIES:
            with transaction.atomic():
                answer = client.get(address, query)
                if answer.streaming:
                    b"".join(answer.streaming_content)
                transaction.set_rollback(True)
            if answer.status_code >= 500:
                broken.append(f"{address} {str(query)[:60]}")

    assert not broken, "\n".join(broken)
