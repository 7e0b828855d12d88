"""The command line. Exit status: 0 done, 1 a defect of cortado, 2 configuration, 3 input, 4 output, 5 training, 130 interrupted."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cortado._version import __version__
from cortado.errors import CortadoError
from cortado.files import write_text

INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Learn event categories from ROOT ntuples and write the inputs of the fit.",
)

Out = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an earlier run in the output folder.")]
Workers = Annotated[int | None, typer.Option("--workers", help="Start a local dask cluster with so many processes.")]
Scheduler = Annotated[str | None, typer.Option("--scheduler", help="Address of a running dask scheduler.")]
ChunkSize = Annotated[int, typer.Option("--chunk-size", min=1, help="Entries read at a time.")]
Details = Annotated[bool, typer.Option("--traceback", help="Show where an error comes from.")]


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False) -> None:
    if version:
        print(f"cortado {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="Configuration of the job (YAML).")],
    output: Out,
    base: Annotated[Path | None, typer.Option("--base", help="Folder that relative paths of ntuples start from.")] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    chunk_size: ChunkSize = 200_000,
    force: Force = False,
    traceback: Details = False,
) -> None:
    """Do the whole job: ntuples in, categories, templates and fit inputs out."""
    with _errors_in_one_line(traceback):
        _run(config, output, base, workers, scheduler, chunk_size, force)


@app.command()
def demo(
    output: Out,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the toy events.")] = 1,
    workers: Workers = None,
    scheduler: Scheduler = None,
    chunk_size: ChunkSize = 200_000,
    force: Force = False,
    traceback: Details = False,
) -> None:
    """Write the three-class toy as ROOT ntuples and do the whole job on them, with 5, 10 and 20 categories."""
    with _errors_in_one_line(traceback):
        from cortado import toys

        ntuples = output / "ntuples"
        if force or not _is_complete(ntuples, seed):
            console = Console()
            console.print(f"[bold]Toy ntuples[/] in {ntuples}")
            toys.write_ntuples(ntuples, seed)
            write_text(ntuples / "seed.txt", f"{seed}\n")
        config = output / "config.yaml"
        write_text(config, resources.files("cortado").joinpath("demo.yaml").read_text(encoding="utf-8"))
        _run(config, output / "results", ntuples, workers, scheduler, chunk_size, force)


def main() -> None:
    """Entry point of the ``cortado`` command."""
    app()


def _is_complete(ntuples: Path, seed: int) -> bool:
    marker = ntuples / "seed.txt"
    return marker.is_file() and marker.read_text(encoding="utf-8").strip() == str(seed)


def _run(
    config: Path,
    output: Path,
    base: Path | None,
    workers: int | None,
    scheduler: str | None,
    chunk_size: int,
    force: bool,
) -> None:
    _quiet_tensorflow()
    from cortado import workflow
    from cortado.columnar import open_executor
    from cortado.config import load_config
    from cortado.report import significance_table

    console = Console()
    job = workflow.prepare(load_config(config), config.parent, base)
    with open_executor(scheduler, workers) as executor:
        result = workflow.run_job(
            job, output, executor, force=force, chunk_size=chunk_size, display=_display(console)
        )
    for n, rows in result.rows.items():
        title = f"Expected significance, {n} categories"
        console.print(significance_table(rows, title))
        if result.n_learned[n] < n:
            console.print(f"Only {result.n_learned[n]} of {n} categories hold events.")
    if lost := {p: y for p, y in result.uncategorised.items() if y}:
        listing = ", ".join(f"{process} {value:.4g}" for process, value in lost.items())
        console.print(f"Yield without a category (a feature does not exist): {listing}")
    console.print(f"Results are in {result.folder}")


def _display(console: Console) -> Any:
    from cortado.workflow import Display

    class RichDisplay(Display):
        """Stages and a progress bar on the terminal."""

        def stage(self, title: str) -> None:
            console.print(f"[bold]{title}[/]")

        def skipped(self, title: str) -> None:
            console.print(f"[bold]{title}[/]: finished by an earlier run")

        @contextmanager
        def fitting(self, n_categories: int) -> Iterator[Any]:
            with Progress(
                TextColumn(f"K = {n_categories}"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(),
                console=console,
            ) as bar:
                task = bar.add_task("", total=None)

                def update(done: int, total: int, best: float | None) -> None:
                    shown = "" if best is None else f"best significance {best:.4f} (training cells)"
                    bar.update(task, completed=done, total=total, description=shown)

                yield update

    return RichDisplay()


@contextmanager
def _errors_in_one_line(traceback: bool) -> Iterator[None]:
    """Turn the errors of a user into a sentence and an exit status."""
    try:
        yield
    except CortadoError as error:
        if traceback:
            raise
        Console(stderr=True, soft_wrap=True).print(f"cortado: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        message = "cortado: interrupted; finished stages are kept, and the same command goes on from there"
        Console(stderr=True, soft_wrap=True).print(message, style="red")
        raise typer.Exit(INTERRUPTED) from None


def _quiet_tensorflow() -> None:
    """Keep TensorFlow's start-up messages off the terminal, unless the user has set what to see."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


if __name__ == "__main__":
    sys.exit(main())
