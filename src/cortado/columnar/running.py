"""Running a processor over files: on this machine, or on a dask cluster."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from coffea.nanoevents import BaseSchema
from coffea.processor import DaskExecutor, Runner
from coffea.processor.executor import ExecutorBase, WorkItem
from uproot import MultithreadedFileSource

from cortado.columnar.datasets import Dataset, Inventory, expand_globs
from cortado.columnar.executors import READ_ATTEMPTS
from cortado.columnar.guard import Guarded, Outcome, require_success
from cortado.columnar.inspection import InputFile, inspect, require_sound
from cortado.errors import ConfigError, InputError

# No array is asked for again: uproot would keep the last 100 MB of them.
_READING: dict[str, Any] = {"array_cache": None}
# What uproot takes for files of all kinds passes bytes of local ones from thread to thread.
_READING_LOCALLY = _READING | {"handler": MultithreadedFileSource, "use_threads": False}


def take_inventory(datasets: Sequence[Dataset], executor: ExecutorBase, processor: Any = None) -> Inventory:
    """Open every file once: entries, needed branches, Σw(generated).

    A processor that has a method ``branches(is_mc=…)`` says which branches its files must have.
    Raises ``InputError`` that lists what is missing or unreadable, with what exists instead.
    """
    items = [
        InputFile(d.name, path, d.tree, branches, None if isinstance(total, float) else total)
        for d in datasets
        for branches in [_needed_branches(processor, is_mc=not d.is_data)]
        for total in [d.sum_of_weights]
        for path in expand_globs(d)
    ]
    if not items:
        raise InputError("there are no input files")
    configured = executor.copy(
        desc="Looking into files",
        unit="file",
        compression=None,
        function_name="inspect",
        **_no_heavy_input(executor),
    )
    facts, _ = configured(items, inspect, None)
    require_sound(facts.values())
    return Inventory(tuple(datasets), facts)


def _needed_branches(processor: Any, *, is_mc: bool) -> tuple[str, ...]:
    if not hasattr(processor, "branches"):
        return ()
    try:
        return tuple(processor.branches(is_mc=is_mc))
    except Exception as error:  # a user's code can raise anything
        raise ConfigError(
            f"{type(processor).__name__}.branches(is_mc={is_mc}) failed: {type(error).__name__}: {error}"
        ) from error


def run_processor(
    processor: Any,
    chunks: Sequence[WorkItem],
    executor: ExecutorBase,
    *,
    schema: type[BaseSchema] = BaseSchema,
    description: str = "Processing",
    returns: type | None = None,
) -> Any:
    """The sum of what ``processor`` makes of every chunk, after its ``postprocess``; None without chunks.

    Chunks whose reading failed are tried again. Raises ``InputError`` naming file and entries where the
    processor fails (the traceback of its code is in the exception's notes), or if the sum is not of the class
    that it ``returns``.
    """
    total = Outcome()
    pending = [_with_its_branches(chunk, processor) for chunk in chunks]
    for attempt in range(READ_ATTEMPTS):
        if not pending:
            break
        outcome = _run_once(processor, pending, executor, schema, description)
        lasting = tuple(f for f in outcome.failures if not f.transient)
        require_success(outcome.failures if attempt == READ_ATTEMPTS - 1 else lasting, processor)
        total = total + replace(outcome, failures=())
        failed = {(f.dataset, f.path, f.start) for f in outcome.failures}
        pending = [c for c in pending if (c.dataset, c.filename, c.entrystart) in failed]
    if total.part is None:
        return None
    result = _postprocessed(processor, total.part)
    if returns is not None and not isinstance(result, returns):
        raise InputError(
            f"{type(processor).__name__} must return what its sink's fill returns, a {returns.__name__}, "
            f"got a {type(result).__name__}"
        )
    return result


def _with_its_branches(chunk: WorkItem, processor: Any) -> WorkItem:
    """A chunk whose needed branches are read at once, not one after the other when they are looked at."""
    is_mc = (chunk.usermeta or {}).get("is_mc", True)
    return replace(chunk, preload=frozenset(_needed_branches(processor, is_mc=is_mc)) or None)


def _run_once(
    processor: Any, chunks: list[WorkItem], executor: ExecutorBase, schema: type[BaseSchema], description: str
) -> Outcome:
    runner = Runner(
        executor=executor.copy(desc=description, **_no_heavy_input(executor)),
        schema=schema,
    )
    remote = any("://" in chunk.filename for chunk in chunks)
    options = _READING if remote else _READING_LOCALLY
    try:
        outcome = runner.run(chunks, Guarded(processor), uproot_options=options)["out"]
    except InputError:
        raise
    except Exception as error:  # coffea wraps whatever a worker raised outside the processor
        raise InputError(_outside_of_processor(error)) from error
    assert isinstance(outcome, Outcome)
    return outcome


def _postprocessed(processor: Any, part: Any) -> Any:
    """What coffea would return: the processor may change the sum, or leave it by returning None."""
    if not callable(getattr(processor, "postprocess", None)):
        return part
    try:
        changed = processor.postprocess(part)
    except Exception as error:  # a user's code can raise anything
        raise InputError(
            f"{type(processor).__name__}.postprocess failed: {type(error).__name__}: {error}"
        ) from error
    return part if changed is None else changed


def _no_heavy_input(executor: ExecutorBase) -> dict[str, Any]:
    """A dask executor keeps the processor of its last run; a copy must not send that one again."""
    return {"heavy_input": None} if isinstance(executor, DaskExecutor) else {}


def _outside_of_processor(error: BaseException) -> str:
    """One sentence from the chain of exceptions of a chunk that could not even be read."""
    item = re.search(r"WorkItem\(.*?filename='(.*?)'.*?entrystart=(\d+), entrystop=(\d+)", str(error))
    where = f"{item[1]}, entries {item[2]} to {item[3]}" if item else "a chunk"
    while error.__cause__ is not None:
        error = error.__cause__
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"{where}: cannot be processed: {reason}"
