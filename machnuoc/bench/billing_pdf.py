"""Bills as PDF: the whole way from the database, against the typesetting library alone with the same document.

Called by the benchmark of billing, in a process that has the bills in its database.
"""

import json
from typing import Any

from machnuoc.bench import common
from machnuoc.bench.common import Result
from machnuoc.billing import bill_pdf, pdf_fonts, typesetting
from machnuoc.billing.models import Bill

SINGLES = 200
_AGAINST = "typst alone, the same document"


def measure(connections: int = 0, *, repetitions: int = common.REPETITIONS) -> list[Result]:
    """Return bills per second, a thousand in one file and one by one; each beside the bare library.

    The newest bills of the database, up to a thousand, are printed. Bare: the template and the finished data are handed
    to typst, so what our way adds is reading bills and drawing codes.
    """
    together = list(Bill.objects.order_by("-pk").values_list("pk", flat=True)[: bill_pdf.MOST_BILLS])
    if not together:
        note = "không có hóa đơn để in: đo cùng phần run"
        return [Result("pdf_bills_together_per_s", None, "bills/s", _AGAINST, note=note)]
    singles = [together[at % len(together)] for at in range(SINGLES)]
    fonts = str(pdf_fonts.folder())
    pages = bill_pdf.gather(together, served=None)
    by_id = dict(zip(together, pages, strict=True))
    sizes: list[int] = []

    def print_together() -> None:
        sizes.append(len(bill_pdf.render(together, served=None, is_tagged=False)))

    def print_one_by_one() -> None:
        for pk in singles:
            bill_pdf.render([pk], served=None)

    def bare_one_by_one() -> None:
        for pk in singles:
            typesetting.compile_here("bill.typ", _inputs([by_id[pk]]), fonts, is_tagged=True)

    def bare_together() -> None:
        # Typst keeps what it laid out: a process of its own, as ours has, so that no repetition finds it ready.
        typesetting.compile_apart("bill.typ", _inputs(pages), fonts, is_tagged=False)

    results = []
    for metric, count, ours, bare in (
        ("pdf_bills_together", len(together), print_together, bare_together),
        ("pdf_bills_single", len(singles), print_one_by_one, bare_one_by_one),
    ):
        bare()  # fonts and templates are read once
        ours_s = common.median([common.seconds(ours) for _ in range(repetitions)])
        bare_s = common.median([common.seconds(bare) for _ in range(repetitions)])
        results.append(
            Result(f"{metric}_per_s", count / ours_s, "bills/s", _AGAINST, (count / ours_s) / (count / bare_s))
        )
        results.append(Result(f"{metric}_bare_per_s", count / bare_s, "bills/s"))
    results.append(Result("pdf_kb_per_bill", sizes[-1] / 1024 / len(together), "kB"))
    return results


def _inputs(pages: list[dict[str, Any]]) -> dict[str, str]:
    return {"bills": json.dumps(pages, ensure_ascii=False), "paper": "a5"}
