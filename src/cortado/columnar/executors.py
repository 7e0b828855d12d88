"""Where chunks are processed: in this process, on a new local cluster, or on a running one."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import Any

from coffea.processor import DaskExecutor, IterativeExecutor, accumulate
from coffea.util import rich_bar

from cortado.errors import ConfigError, InputError

READ_ATTEMPTS = 3
CONNECT_SECONDS = 10


@contextmanager
def open_executor(
    scheduler: str | None = None, workers: int | None = None, *, progress: bool = True
) -> Iterator[Any]:
    """A coffea executor: for this process, for a new local cluster, or for a running one.

    ``scheduler`` is the address of a running ``distributed`` scheduler, ``workers`` the number of
    processes of a new cluster. Raises ``ConfigError`` if both are given or no scheduler answers.
    """
    if scheduler is not None and workers is not None:
        raise ConfigError(
            f"give either a scheduler address or a number of workers, got {scheduler!r} and {workers}"
        )
    if workers is not None and workers < 1:
        raise ConfigError(f"the number of workers must be at least 1, got {workers}")
    retries = READ_ATTEMPTS - 1
    if scheduler is None and workers is None:
        yield LocalExecutor(status=progress, retries=retries)
        return
    with _client(scheduler, workers) as client:
        yield ClusterExecutor(client=client, status=progress, retries=retries)


@dataclass
class LocalExecutor(IterativeExecutor):
    """coffea's executor for one process, silent unless ``status``."""

    def __call__(self, items: Collection[Any], function: Callable[[Any], Any], accumulator: Any) -> Any:
        with _progress(self, len(items)) as advance, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Performed attempt")  # coffea's, when reading is tried again
            return accumulate((advance(function(item)) for item in items), accumulator), 0


@dataclass
class ClusterExecutor(DaskExecutor):
    """coffea's executor for dask, with a bar that counts chunks, ends with the run, and prints no traceback.

    Results are added up on the workers, ``treereduction`` at a time.
    """

    def __call__(self, items: Collection[Any], function: Callable[[Any], Any], accumulator: Any) -> Any:
        from distributed import KilledWorker, as_completed

        if not items:
            return accumulator, 0
        arguments = list(items)
        if self.heavy_input is not None:  # the processor: sent to each worker once, not with each chunk
            shared = self.client.submit(_itself, self.heavy_input, pure=False)
            arguments = [(item, shared) for item in items]
        chunks = self._map(function, arguments)
        item_of = {chunk.key: item for chunk, item in zip(chunks, items, strict=True)}
        parts = chunks
        while len(parts) > 1:
            batches = [parts[i : i + self.treereduction] for i in range(0, len(parts), self.treereduction)]
            parts = self._map(accumulate, batches)
        total = parts[0]
        finished = as_completed(chunks, loop=self.client.loop, raise_errors=False)
        del chunks, parts  # what is added up may leave the workers' memory
        with _progress(self, len(items)) as advance:
            for chunk in finished:
                advance(None)
                if chunk.status != "finished":
                    break
        try:
            return accumulate([total.result()], accumulator), 0
        except KilledWorker as error:
            item = item_of.get(error.task, "the sum of chunks")
            raise InputError(
                f"the worker processes died, one after the other, of {item}: a lack of memory is the usual "
                "reason, and smaller chunks are the remedy"
            ) from error

    def _map(self, function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        # Not "pure": a chunk that is tried again must not get the result of its first try.
        futures: list[Any] = self.client.map(
            function, items, pure=False, priority=self.priority, retries=self.retries
        )
        return futures


def _itself(value: Any) -> Any:
    return value


@contextmanager
def _progress(executor: Any, total: int) -> Iterator[Callable[[Any], Any]]:
    """A function that moves the bar, if the executor shows one, and returns the finished part it is given."""
    if not executor.status:
        yield _itself
        return
    with rich_bar() as bar:
        task = bar.add_task(executor.desc, total=total, unit=executor.unit)

        def advance(part: Any) -> Any:
            bar.update(task, advance=1, refresh=True)
            return part

        yield advance


@contextmanager
def _client(scheduler: str | None, workers: int | None) -> Iterator[Any]:
    from distributed import Client, LocalCluster

    if scheduler is not None:
        with _closed_in_peace(_connect(scheduler)) as client:
            yield client
        return
    with _interrupts_held_back():
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # any free port, so that runs do not meet
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        )
    with _closed_in_peace(cluster), _closed_in_peace(Client(cluster)) as client:
        yield client


def _connect(scheduler: str) -> Any:
    """A client of a running scheduler."""
    from distributed import Client

    connected: Future[Any] = Future()

    def connect() -> None:
        try:
            connected.set_result(Client(scheduler, timeout=CONNECT_SECONDS))
        except Exception as error:
            connected.set_exception(error)

    # In a thread, because distributed waits for ever where something else than a scheduler listens.
    threading.Thread(target=connect, daemon=True).start()
    try:
        return connected.result(timeout=1.5 * CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        reason = str(error) or "what listens there is no scheduler"
        raise ConfigError(f"no dask scheduler answers at {scheduler!r}: {reason}") from error


@contextmanager
def _closed_in_peace(resource: Any) -> Iterator[Any]:
    """A context that closes the resource; an impatient second Ctrl-C waits until that is done."""
    try:
        yield resource
    finally:
        with _interrupts_held_back():
            resource.close()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes started inside never see Ctrl-C, which a terminal sends to all of a command's.

    The one at the top, which does see it, stops the others.
    """
    resource_tracker.ensure_running()  # started inside, it would let interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
