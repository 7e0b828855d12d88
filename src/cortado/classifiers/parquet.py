"""Columns of events in a Parquet file, with what they are in the metadata of its schema."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortado.errors import InputError
from cortado.files import write_whole

Column = npt.NDArray[Any]

_KEY = b"cortado"


def write_columns(
    path: str | Path, kind: str, header: Mapping[str, Any], columns: Mapping[str, Column]
) -> None:
    """Write columns of numbers (n,), of lists (n, …) or of text (n,) and a header, whole or not at all.

    ``kind`` names the format and its version.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    described = {
        "format": kind,
        "shapes": {name: column.shape[1:] for name, column in columns.items() if column.ndim > 1},
        **header,
    }
    table = pa.table({name: _arrow(column) for name, column in columns.items()})
    with write_whole(Path(path)) as partial:
        pq.write_table(table.replace_schema_metadata({_KEY: json.dumps(described)}), partial)


def read_columns(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Column]]:
    """Header and columns of a file written by :func:`write_columns`.

    Raises ``InputError`` if the file cannot be read, is of another kind, or lacks values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(Path(path), partitioning=None)
        header = json.loads((table.schema.metadata or {})[_KEY])
        if header["format"] != kind:
            raise InputError(f"{path}: format must be {kind!r}, got {header['format']!r}")
        shapes = header["shapes"]
        return header, {name: _numpy(table[name], shapes.get(name)) for name in table.column_names}
    except InputError:
        raise
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        reason = "it has no metadata of cortado" if isinstance(error, KeyError) else error
        raise InputError(f"{path} is not a file of format {kind!r}: {reason}") from error


def _arrow(column: Column) -> Any:
    import pyarrow as pa

    if column.ndim > 1:
        size = int(np.prod(column.shape[1:]))
        return pa.FixedSizeListArray.from_arrays(pa.array(column.reshape(-1)), size)
    array = pa.array(column)
    return array.dictionary_encode() if column.dtype.kind in "UO" else array


def _numpy(column: Any, shape: list[int] | None) -> Column:
    array = column.combine_chunks()
    if array.null_count:
        raise ValueError(f"{array.null_count} values are absent")
    if shape is not None:
        return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), *shape)
    return array.to_numpy(zero_copy_only=False)
