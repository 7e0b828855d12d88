"""The command line.

Exit status: 0 done, 1 a defect of cortado, 2 configuration or usage, 3 input, 4 output, 5 training, 6 fit,
130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from cortado._version import __version__
from cortado.columnar.datasets import DEFAULT_CHUNK_SIZE
from cortado.errors import ConfigError, CortadoError, OutputError
from cortado.files import write_text
from cortado.startup import without_startup_messages

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
Workers = Annotated[
    int | None, typer.Option("--workers", help="Start a local dask cluster with so many processes.")
]
Scheduler = Annotated[str | None, typer.Option("--scheduler", help="Address of a running dask scheduler.")]
ChunkSize = Annotated[int, typer.Option("--chunk-size", min=1, help="Entries read at a time.")]
Details = Annotated[bool, typer.Option("--traceback", help="Show where an error comes from.")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False,
) -> None:
    if version:
        print(f"cortado {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: Annotated[Path, typer.Argument(help="Configuration of the job (YAML).")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the results; by default that of the configuration."),
    ] = None,
    base: Annotated[
        Path | None, typer.Option("--base", help="Folder that relative paths of ntuples start from.")
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    chunk_size: ChunkSize = DEFAULT_CHUNK_SIZE,
    force: Force = False,
    show_traceback: Details = False,
) -> None:
    """Do the whole job: ntuples in, categories, templates and fit inputs out."""
    with _errors_in_one_line(show_traceback):
        _run(config, output, base, workers, scheduler, chunk_size, force)


@app.command()
def demo(
    output: Out,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the toy events.")] = 1,
    workers: Workers = None,
    scheduler: Scheduler = None,
    chunk_size: ChunkSize = DEFAULT_CHUNK_SIZE,
    force: Force = False,
    show_traceback: Details = False,
) -> None:
    """Write the three-class toy as ROOT ntuples and do the whole job on them, with K = 5, 10 and 20."""
    with _errors_in_one_line(show_traceback):
        _prepare_demo(output, seed, force)
        _run(
            output / "config.yaml",
            output / "results",
            output / "ntuples",
            workers,
            scheduler,
            chunk_size,
            force,
        )


@app.command("export")
def export_categorizer(
    categorizer: Annotated[Path, typer.Argument(help="A file categorizer.json.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    form: Annotated[str, typer.Option("--format", help="`onnx` or `correctionlib`.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file to write.")] = False,
    show_traceback: Details = False,
) -> None:
    """Write a categorizer as a file that other programs evaluate."""
    with _errors_in_one_line(show_traceback):
        _export(categorizer, output, form, force)


@app.command("fit")
def fit_workspaces(
    workspace: Annotated[Path, typer.Argument(help="A workspace of pyhf (JSON), or the results of a job.")],
    output: Out,
    strength: Annotated[
        list[str] | None,
        typer.Option(
            "--strength", help="A normfactor that is the strength of a signal; by default all of them are."
        ),
    ] = None,
    observed: Annotated[
        bool,
        typer.Option("--observed", help="Fit the observations: strengths, pulls and rankings are unblinded."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files in the output folder.")] = False,
    show_traceback: Details = False,
) -> None:
    """Say what a fit will find: significances, strengths, limits, pulls and a ranking."""
    with _errors_in_one_line(show_traceback):
        _fit(workspace, output, strength or [], observed, force)


def main() -> None:
    """Entry point of the ``cortado`` command."""
    app()


def _export(path: Path, output: Path, form: str, force: bool) -> None:
    from cortado import export
    from cortado.categorizer import Categorizer

    writers = {"onnx": export.onnx, "correctionlib": export.correctionlib}
    if form not in writers:
        raise ConfigError(f"--format must be one of {', '.join(writers)}, got {form!r}")
    if output.exists() and not force:
        raise OutputError(f"{output} exists; choose another file, or use --force")
    writers[form](Categorizer.load(path), output)
    Console().print(f"Written: {escape(str(output))}", soft_wrap=True)


def _fit(source: Path, output: Path, strengths: list[str], observed: bool, force: bool) -> None:
    from cortado.inference import expected_results, load_workspace
    from cortado.inference.expected import findings_table
    from cortado.inference.files import claim, find_workspaces, write_findings
    from cortado.inference.likelihood import require_extra

    require_extra()
    claim(output, force)
    console = Console()
    workspaces = {place: load_workspace(path) for place, path in find_workspaces(source).items()}
    results = {p: expected_results(w, strengths, observed=observed) for p, w in workspaces.items()}
    for place, findings in results.items():
        write_findings(output / place, findings, workspaces[place])
        console.print(findings_table(findings, f"Fit of {source / place}"))
    console.print(f"Results are in {escape(str(output))}", soft_wrap=True)


def _prepare_demo(output: Path, seed: int, force: bool) -> None:
    """The toy ntuples and the configuration of the demo, unless they are there already."""
    from cortado import toys

    ntuples, config = output / "ntuples", output / "config.yaml"
    marker = ntuples / "seed.txt"
    written = marker.read_text(encoding="utf-8").strip() if marker.is_file() else None
    if not force:
        _refuse_other_use(output, written, seed)
    if force or written is None:
        Console().print(f"[bold]Toy ntuples[/] in {escape(str(ntuples))}", soft_wrap=True)
        with suppress(OSError):
            marker.unlink()
        toys.write_ntuples(ntuples, seed)
        write_text(marker, f"{seed}\n")
    write_text(config, _demo_configuration())


def _demo_configuration() -> str:
    return resources.files("cortado").joinpath("demo.yaml").read_text(encoding="utf-8")


def _refuse_other_use(output: Path, written: str | None, seed: int) -> None:
    try:
        others = sorted({p.name for p in output.iterdir()} - {"ntuples", "config.yaml", "results"})
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"cannot write to {output}: {error.strerror}") from error
    if others:
        raise OutputError(
            f"{output} holds {others[0]!r} and is not the folder of a demo; choose another, or use --force"
        )
    if written is not None and written != str(seed):
        raise OutputError(
            f"{output} holds the demo of seed {written}, not {seed}; choose another folder, or use --force"
        )


def _run(
    config: Path,
    output: Path | None,
    base: Path | None,
    workers: int | None,
    scheduler: str | None,
    chunk_size: int,
    force: bool,
) -> None:
    from cortado import workflow
    from cortado.columnar import open_executor
    from cortado.config import load_config
    from cortado.report import combination, significance_table

    console = Console()
    job = workflow.prepare(load_config(config), config.parent, base)
    if output is None:
        if job.config.output is None:
            raise ConfigError("no folder for the results: give --output, or 'output' in the configuration")
        output = config.parent / job.config.output
    with open_executor(scheduler, workers) as executor:
        result = workflow.run_job(
            job, output, executor, force=force, chunk_size=chunk_size, display=_display(console)
        )
    for n, rows in result.rows.items():
        title = f"Expected {rows[0].quantity}, {n} categories"
        console.print(significance_table(rows, title, combination(job.config.objective)))
        if result.n_learned[n] < n:
            console.print(
                f"{result.n_learned[n]} of {n} categories: the others missed a floor or held no event."
            )
    if lost := {p: y for p, y in result.uncategorised.items() if y}:
        listing = ", ".join(f"{process} {value:.4g}" for process, value in lost.items())
        console.print(f"Yield without a category (a feature does not exist): {listing}", soft_wrap=True)
    for note in result.notes:
        console.print(note, soft_wrap=True, markup=False)
    console.print(f"Results are in {escape(str(result.folder))}", soft_wrap=True)


def _display(console: Console) -> Any:
    from cortado.workflow import Display

    class RichDisplay(Display):
        """Stages and a progress bar on the terminal."""

        def stage(self, title: str) -> None:
            console.print(f"[bold]{title}[/]")

        def warn(self, message: str) -> None:
            console.print(f"[yellow]Warning:[/] {escape(message)}", soft_wrap=True)

        def skipped(self, title: str) -> None:
            console.print(f"[bold]{title}[/]: finished by an earlier run")

        def loading(self) -> AbstractContextManager[None]:
            return without_startup_messages()

        @contextmanager
        def fitting(self, n_categories: int) -> Iterator[Any]:
            with Progress(
                TextColumn(f"K = {n_categories}"),
                BarColumn(),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=console,
            ) as bar:
                task = bar.add_task("", total=None)

                def update(done: int, total: int, best: float | None) -> None:
                    shown = "" if best is None else f"best significance {best:.4f} (training)"
                    bar.update(task, completed=done, total=total, description=shown)

                yield update

    return RichDisplay()


@contextmanager
def _errors_in_one_line(show_traceback: bool) -> Iterator[None]:
    """Turn the errors of a user into a sentence and an exit status."""
    try:
        with _interrupts_not_lost():
            yield
    except CortadoError as error:
        if show_traceback:
            traceback.print_exc()
        else:
            _print_error(str(error))
        raise typer.Exit(error.exit_status) from None
    except (KeyboardInterrupt, ImportError) as error:
        if not _is_interrupt(error):
            raise
        # Uproot may leave a coroutine behind, of which Python would tell when it ends.
        warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
        _print_error("interrupted; finished stages are kept, and the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether it began with Ctrl-C, of which a library that is being imported makes an ``ImportError``."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


@contextmanager
def _interrupts_not_lost() -> Iterator[None]:
    """Python swallows an interrupt that falls into the destructor of an object: have it again right after."""
    before = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        else:
            before(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _print_error(message: str) -> None:
    Console(stderr=True, soft_wrap=True).print(
        f"cortado: {message}", style="red", markup=False, highlight=False, emoji=False
    )


if __name__ == "__main__":
    main()
