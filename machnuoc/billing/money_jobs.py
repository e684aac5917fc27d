"""Background work of money: ask gateways that kept silent, match long statements."""

from django.utils import timezone

from machnuoc.billing import gateway_orders, statements
from machnuoc.billing.models import BankStatement
from machnuoc.core import jobs
from machnuoc.core.models import Job


@jobs.every("billing.ask_gateways", minutes=5, title="Hỏi cổng thanh toán về giao dịch chưa có kết quả")
def ask_gateways(job: Job) -> str:
    asked, paid = gateway_orders.ask_about_silent(timezone.now())
    return f"Hỏi {asked} giao dịch, {paid} đã trả."


@jobs.task("billing.match_statement", timeout_s=1_800, title="Khớp sao kê ngân hàng")
def match_statement(job: Job, *, statement_id: int) -> str:
    statement = BankStatement.objects.get(pk=statement_id)
    counts = statements.match_lines(statement, now=timezone.now(), by=statement.imported_by)
    return f"Khớp chắc chắn {counts.get('EXACT', 0)} trong {sum(counts.values())} giao dịch."
