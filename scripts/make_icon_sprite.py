"""Build the icon sprite machnuoc/core/static/core/icons.svg from an unpacked @tabler/icons package.

Use: python scripts/make_icon_sprite.py path/to/tabler-icons
The icons are those of scripts/icons.txt, one name a line; add a name there to have it in the sprite.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ROOT / "scripts" / "icons.txt"
SPRITE = ROOT / "machnuoc" / "core" / "static" / "core" / "icons.svg"


def make_symbol(name: str, svg: str) -> str:
    """Return the icon's drawing as a <symbol>, without the transparent box that Tabler puts under it."""
    drawing = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    drawing = re.sub(r'<path stroke="none" d="M0 0h24v24H0z" fill="none"\s*/>', "", drawing)
    drawing = re.sub(r"\s+", " ", drawing).replace("> <", "><").strip()
    return f'<symbol id="{name}" viewBox="0 0 24 24">{drawing}</symbol>'


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1]) / "icons" / "outline"
    names = sorted(set(NAMES.read_text(encoding="utf-8").split()))
    missing = [name for name in names if not (folder / f"{name}.svg").exists()]
    if missing:
        sys.exit(f"Not in {folder}: {', '.join(missing)}")
    symbols = [make_symbol(name, (folder / f"{name}.svg").read_text(encoding="utf-8")) for name in names]
    SPRITE.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n", encoding="utf-8"
    )
    sys.stdout.write(f"{SPRITE.relative_to(ROOT)}: {len(symbols)} icons\n")


if __name__ == "__main__":
    main()
