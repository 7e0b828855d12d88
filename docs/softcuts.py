"""Tables and figures of what relaxed cuts do, from the results of ``examples/softcuts/softcuts.py``.

    python docs/softcuts.py FOLDER

with the folder that the example has written, rewrites them in softcuts.md and in the example's page.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from marked import refresh

DOCS = Path(__file__).resolve().parent
EXAMPLE = DOCS.parent / "examples" / "softcuts" / "README.md"
FIGURES = ("losses", "gradients", "gradient_sizes", "ends", "boundaries")


def main() -> None:
    """Rewrite the tables and copy the figures."""
    results = Path(sys.argv[1])
    tables = json.loads((results / "tables.json").read_text(encoding="utf-8"))
    refresh(
        DOCS / "softcuts.md", {f"softcuts {name}": tables[name] for name in ("unit", "matched", "arrivals")}
    )
    refresh(EXAMPLE, {"softcuts fits": tables["fits"]})
    for name in FIGURES:
        shutil.copyfile(results / f"{name}.png", DOCS / "images" / f"softcuts_{name}.png")


if __name__ == "__main__":
    main()
