"""Running a processor over files: on this machine, or on a dask cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from coffea.nanoevents import BaseSchema
from coffea.processor import DaskExecutor, IterativeExecutor, Runner
from coffea.processor.executor import ExecutorBase, WorkItem

from cortado.columnar.guard import Failure, Guarded, Outcome, require_success
from cortado.columnar.inspection import FileFacts, InputFile, inspect, require_sound
from cortado.errors import ConfigError, InputError

DEFAULT_CHUNK_SIZE = 200_000
_READ_ATTEMPTS = 3


@dataclass(frozen=True)
class Dataset:
    """Files of one origin, and what processors are told about them in ``events.metadata``."""

    name: str
    files: tuple[str, ...]
    tree: str = "Events"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    sum_of_weights: tuple[str, str] | None = None  # (tree, branch) of Σw(generated), once per file


@dataclass(frozen=True)
class Inventory:
    """The files of all datasets, inspected: chunks can be made of them without opening any."""

    datasets: tuple[Dataset, ...]
    facts: Mapping[tuple[str, str], FileFacts]

    def sum_of_weights(self, dataset: str) -> float:
        """Σw(generated) over the files of a dataset."""
        return sum(f.sum_of_weights for (name, _), f in sorted(self.facts.items()) if name == dataset)

    def chunks(self, chunk_size: int = DEFAULT_CHUNK_SIZE, only: Sequence[str] | None = None) -> list[WorkItem]:
        """Work items of at most ``chunk_size`` entries, of all datasets or of ``only`` some."""
        if chunk_size < 1:
            raise ConfigError(f"the chunk size must be at least 1, got {chunk_size}")
        items = []
        for dataset in self.datasets:
            if only is not None and dataset.name not in only:
                continue
            for path in dataset.files:
                facts = self.facts[dataset.name, path]
                items += [
                    WorkItem(
                        dataset.name,
                        path,
                        dataset.tree,
                        start,
                        min(start + chunk_size, facts.n_entries),
                        facts.uuid,
                        dict(dataset.metadata),
                    )
                    for start in range(0, facts.n_entries, chunk_size)
                ]
        return items


@contextmanager
def open_executor(scheduler: str | None = None, workers: int | None = None, *, progress: bool = True) -> Iterator[Any]:
    """A coffea executor: in this process, on a new local cluster of worker processes, or on a running cluster.

    ``scheduler`` is the address of a running ``distributed`` scheduler; ``workers`` a number of processes to start.
    Raises ``ConfigError`` if both are given or no scheduler answers.
    """
    if scheduler is not None and workers is not None:
        raise ConfigError("give either a scheduler address or a number of workers, not both")
    if workers is not None and workers < 1:
        raise ConfigError(f"the number of workers must be at least 1, got {workers}")
    if scheduler is None and workers is None:
        yield IterativeExecutor(status=progress, retries=0)
        return
    with _client(scheduler, workers) as client:
        yield DaskExecutor(client=client, status=progress, retries=_READ_ATTEMPTS)


@contextmanager
def _client(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if scheduler is not None:
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise ConfigError(f"no dask scheduler answers at {scheduler!r}: {error}") from error
        with client:
            yield client
        return
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def take_inventory(datasets: Sequence[Dataset], executor: ExecutorBase, processor: Any = None) -> Inventory:
    """Open every file once: entries, needed branches, Σw(generated).

    A processor that has a method ``branches(is_mc=…)`` says which branches its files must have.
    Raises ``InputError`` that lists what is missing or unreadable, with what exists instead.
    """
    needed = getattr(processor, "branches", lambda is_mc: ())  # noqa: ARG005 - the signature is the protocol's
    items = [
        InputFile(
            d.name, path, d.tree, tuple(needed(is_mc=d.metadata.get("is_mc", True))), d.sum_of_weights
        )
        for d in datasets
        for path in d.files
    ]
    if not items:
        raise InputError("there are no input files")
    configured = executor.copy(
        desc="Looking into files", unit="file", compression=None, function_name="inspect", **_no_heavy_input(executor)
    )
    facts, _ = configured(items, inspect, None)
    require_sound(facts.values())
    return Inventory(tuple(datasets), facts)


def run_processor(
    processor: Any,
    chunks: Sequence[WorkItem],
    executor: ExecutorBase,
    *,
    schema: type[BaseSchema] = BaseSchema,
    description: str = "Processing",
) -> Any:
    """The sum of what ``processor`` makes of every chunk; None if there are no chunks.

    Chunks whose reading failed are tried again. Raises ``InputError`` naming file and entries where the processor
    fails; the traceback of its code is in the exception's notes.
    """
    total = Outcome()
    pending = list(chunks)
    for attempt in range(_READ_ATTEMPTS):
        if not pending:
            break
        outcome = _run_once(processor, pending, executor, schema, description)
        lasting = tuple(f for f in outcome.failures if not f.transient)
        require_success(outcome.failures if attempt == _READ_ATTEMPTS - 1 else lasting, processor)
        total = total + replace(outcome, failures=())
        pending = [c for c in pending if any(_is_of(f, c) for f in outcome.failures)]
    return total.part


def _run_once(
    processor: Any, chunks: list[WorkItem], executor: ExecutorBase, schema: type[BaseSchema], description: str
) -> Outcome:
    runner = Runner(
        executor=executor.copy(desc=description, **_no_heavy_input(executor)),
        schema=schema,
        metadata_cache={},  # coffea's own cache would keep a dataset's old metadata for the whole process
    )
    try:
        outcome = runner.run(chunks, Guarded(processor))["out"]
    except InputError:
        raise
    except Exception as error:  # coffea wraps whatever a worker raised outside the processor
        raise InputError(_innermost(error)) from error
    assert isinstance(outcome, Outcome)
    return outcome


def _is_of(failure: Failure, chunk: WorkItem) -> bool:
    return (failure.path, failure.start, failure.stop) == (chunk.filename, chunk.entrystart, chunk.entrystop)


def _no_heavy_input(executor: ExecutorBase) -> dict[str, Any]:
    """A dask executor keeps the processor of its last run; a copy must not send that one again."""
    return {"heavy_input": None} if isinstance(executor, DaskExecutor) else {}


def _innermost(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"a chunk could not be processed: {error}".splitlines()[0]
