"""Tables of sums in a file: a JSON header and plain arrays in an ``.npz`` archive, without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cortado.cells import Cells, Source
from cortado.errors import InputError
from cortado.files import write_whole

_ARRAYS = ("source", "key", "sums", "count")


def write_archive(
    path: str | Path, kind: str, header: Mapping[str, Any], tables: Mapping[str, Cells]
) -> None:
    """Write tables and a header, whole or not at all. ``kind`` names the format and its version."""
    described = {
        "format": kind,
        "tables": {name: [list(s) for s in cells.sources] for name, cells in tables.items()},
        **header,
    }
    arrays = {f"{name}.{a}": getattr(cells, a) for name, cells in tables.items() for a in _ARRAYS}
    with write_whole(Path(path)) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, header=np.array(json.dumps(described)), **arrays)


def read_archive(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Cells]]:
    """Header and tables of a file written by :func:`write_archive`.

    Raises ``InputError`` if the file cannot be read or is of another kind.
    """
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if header["format"] != kind:
                raise InputError(f"{path}: format must be {kind!r}, got {header['format']!r}")
            tables = {
                name: Cells(tuple(Source(*s) for s in sources), **{a: file[f"{name}.{a}"] for a in _ARRAYS})
                for name, sources in header["tables"].items()
            }
    except InputError:
        raise
    except Exception as error:  # whatever numpy, zipfile, zlib and tokenize raise for a damaged file
        raise InputError(f"{path} is not a file of format {kind!r}: {error}") from error
    return header, tables
