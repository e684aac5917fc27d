"""Fonts of printed pages: the screen's own (Be Vietnam Pro, OFL) as the one kind of file that typesetting takes.

The web fonts come in two halves of letters; here they are joined once, into the cache of the data folder. No network.
"""

import logging
import shutil
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path

from django.conf import settings

log = logging.getLogger(__name__)

FAMILY = "Be Vietnam Pro"
WEIGHTS = (400, 500, 600, 700)
_HALVES = ("latin", "vietnamese")
_VERSION = 1  # of the files made here
_CHECKED = "ĂÂĐÊÔƠƯăâđêôơưẮẰẲẴẶấầẩẫậẾỀỂỄỆốồổỗộỚỜỞỠỢứừửữựỴỳỷỹý«»–•³₫0123456789"


class NoFonts(RuntimeError):
    """The fonts are not there or lack letters; the text says what to do."""


@cache
def folder() -> Path:
    """Return the folder with the fonts, made on first use. Raises NoFonts."""
    made: Path = settings.DATA_DIR / "cache" / f"fonts-{_VERSION}"
    if not made.is_dir():
        _make(made)
    return made


def _make(made: Path) -> None:
    from fontTools.merge import Merger
    from fontTools.ttLib import TTFont, TTLibError

    logging.getLogger("fontTools").setLevel(logging.WARNING)
    made.parent.mkdir(parents=True, exist_ok=True)
    source = resources.files("machnuoc.core").joinpath("static/vendor/be-vietnam-pro")
    draft = Path(tempfile.mkdtemp(prefix=".fonts-", dir=made.parent))
    try:
        for weight in WEIGHTS:
            halves = []
            for half in _HALVES:
                with resources.as_file(source.joinpath(f"be-vietnam-pro-{half}-{weight}-normal.woff2")) as path:
                    font = TTFont(path)
                    font.flavor = None
                    halves.append(str(draft / f"{half}-{weight}.part"))
                    font.save(halves[-1])
            joined = Merger().merge(halves)
            missing = [char for char in _CHECKED if ord(char) not in joined.getBestCmap()]
            if missing:
                raise NoFonts(f"Phông chữ {FAMILY} {weight} thiếu chữ {''.join(missing)}. Cài lại chương trình.")
            joined.save(draft / f"be-vietnam-pro-{weight}.ttf")
            for half_path in halves:
                Path(half_path).unlink()
        draft.rename(made)
    except (OSError, TTLibError) as reason:
        if not made.is_dir():  # else another process was quicker
            raise NoFonts(
                f"Không tạo được phông chữ để in hóa đơn ({reason}). Cài lại chương trình, hoặc kiểm tra quyền ghi ở "
                f"{made.parent}."
            ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    log.info("made the fonts of printed pages in %s", made)
