"""A look into every input file before the first pass: it is there, it opens, and it holds what is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import uproot

from cortado.errors import InputError

_MOST_NAMES = 40
_MOST_PROBLEMS = 10


@dataclass(frozen=True)
class InputFile:
    """A file to read: its dataset, path or URL, tree, needed branches, and where Σw(generated) stands."""

    dataset: str
    path: str
    tree: str
    branches: tuple[str, ...] = ()
    sum_of_weights: tuple[str, str] | None = None  # (tree, branch)


@dataclass(frozen=True)
class FileFacts:
    """What was found: number of entries, the file's identifier, its Σw(generated), or what is wrong."""

    n_entries: int = 0
    uuid: bytes = b""
    sum_of_weights: float = 0.0
    problem: str | None = None


def inspect(item: InputFile) -> dict[tuple[str, str], FileFacts]:
    """Facts about one file, by dataset and path; a problem is a fact, too, so that all are found at once."""
    try:
        facts = _look_into(item)
    except FileNotFoundError:
        facts = FileFacts(problem=f"file {item.path} of dataset {item.dataset!r} does not exist")
    except InputError as error:
        facts = FileFacts(problem=str(error))
    except Exception as error:  # whatever a broken file makes uproot raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        facts = FileFacts(problem=f"file {item.path} of dataset {item.dataset!r} cannot be read: {reason}")
    return {(item.dataset, item.path): facts}


def require_sound(facts: Iterable[FileFacts]) -> None:
    """Raise ``InputError`` with the problems found, if there are any."""
    problems = [f.problem for f in facts if f.problem]
    if problems:
        more = [f"… and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        raise InputError("\n".join([*sorted(problems)[:_MOST_PROBLEMS], *more]))


def _look_into(item: InputFile) -> FileFacts:
    with uproot.open({item.path: None}) as file:
        _refuse_cut_short(file.file, item)
        tree = _tree(file, item, item.tree)
        names = list(tree.keys())
        if absent := [b for b in item.branches if b not in names]:
            raise InputError(
                f"{_plural('branch', absent, 'branches')} not in tree {item.tree!r} of {item.path} "
                f"(dataset {item.dataset!r}); it has {some(names)}"
            )
        total = 0.0
        if item.sum_of_weights:
            tree_name, branch = item.sum_of_weights
            metadata = _tree(file, item, tree_name)
            if branch not in metadata.keys():  # noqa: SIM118 - a tree is no mapping
                raise InputError(
                    f"branch {branch!r} is not in tree {tree_name!r} of {item.path} "
                    f"(dataset {item.dataset!r}); it has {some(metadata.keys())}"
                )
            total = float(metadata[branch].array(library="np").sum())
        return FileFacts(int(tree.num_entries), bytes(file.file.fUUID), total)


def _refuse_cut_short(file: Any, item: InputFile) -> None:
    """A file that ends too early may open all the same, and fail in the middle of a pass."""
    there, expected = file.source.num_bytes, file.fEND
    if there is not None and there < expected:  # some servers do not tell
        raise InputError(
            f"file {item.path} of dataset {item.dataset!r} cannot be read: it is cut short, "
            f"with {there} of {expected} bytes"
        )


def _tree(file: Any, item: InputFile, name: str) -> Any:
    try:
        tree = file[name]
    except uproot.exceptions.KeyInFileError as error:
        names = file.keys(recursive=True, cycle=False)
        raise InputError(
            f"tree {name!r} is not in {item.path} (dataset {item.dataset!r}); it has {some(names)}"
        ) from error
    if not hasattr(tree, "num_entries"):
        raise InputError(
            f"{name!r} in {item.path} (dataset {item.dataset!r}) is a {tree.classname}, not a tree"
        )
    return tree


def _plural(word: str, names: Sequence[str], words: str) -> str:
    listing = ", ".join(map(repr, names))
    return f"{words} {listing} are" if len(names) > 1 else f"{word} {listing} is"


def some(names: Sequence[str]) -> str:
    """Names in a row, the first of them where there are many."""
    listing = ", ".join(names[:_MOST_NAMES]) or "nothing"
    return f"{listing} …" if len(names) > _MOST_NAMES else listing
