"""The long report that is measured: as long as it says, and the same words as its peer."""

import io
import re
import subprocess

from docx import Document

from machnuoc.bench import reports
from machnuoc.reports import docx_writer, pdf, word_templates


def words_of(content: bytes) -> list[str]:
    body = Document(io.BytesIO(content)).element.body
    return [element.text for element in body.iter() if element.tag.endswith("}t") and element.text]


def test_the_measured_report_has_40_pages_and_12_tables():
    content = docx_writer.write(reports.sample(), word_templates.shipped("bench"))

    assert len(Document(io.BytesIO(content)).tables) == 12 + 2  # and those of header and signature
    about = subprocess.run(["pdfinfo", "-"], input=pdf.convert(content), capture_output=True, check=True).stdout
    (pages,) = re.findall(rb"Pages: +(\d+)", about)
    assert 40 <= int(pages) <= 45


def test_the_peer_writes_the_same_words():
    ours = words_of(docx_writer.write(reports.sample(), word_templates.shipped("bench")))
    peer = words_of(reports._write_plainly(reports.sample()))

    assert [word for word in peer if word not in ours] == [reports.sample().header.issuing_body]  # ours is in capitals


def test_a_long_report_takes_at_most_five_times_what_its_peer_takes():
    (result,) = reports.bench_report()

    assert result.metric == "report_40_pages"
    assert result.ratio is not None and result.ratio <= 5
