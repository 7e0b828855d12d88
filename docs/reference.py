"""What in these pages follows from the code: keys of a configuration, options, exit statuses, a JSON schema.

    python docs/reference.py

rewrites them between their markers. Types, defaults and limits come from the code; what a key is for is
written here, and a key without a sentence, or a sentence without its key, is an error.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer
from marked import refresh

from cortado import errors
from cortado.categorizer import Categorizer
from cortado.cli import INTERRUPTED, app
from cortado.config import Config
from cortado.coordinates import Coordinates, Features

DOCS = Path(__file__).resolve().parent
SCHEMA = DOCS / "categorizer.schema.json"

SECTIONS = {
    "Config": "Top level",
    "DatasetConfig": "`datasets`: each by its name",
    "MetadataBranch": "`datasets.<name>.sum_of_weights`, where it is read from the files",
    "ProcessorConfig": "`processor`",
    "FeatureConfig": "`features`: a list of",
    "Identity": "`coordinates`: a list of groups; `kind: identity`",
    "Linear": "`kind: linear`",
    "Logit": "`kind: logit`",
    "LogRatio": "`kind: logratio`",
    "ChannelConfig": "`channels`: each by its name",
    "Observable": "`channels.<name>.observable`",
    "EqualBins": "`channels.<name>.observable.edges`, where bins are equal",
    "Constraints": "`constraints`",
    "FitConfig": "`fit`",
    "FitModelConfig": "`fit_model`",
}

_KIND = "decides which keys the group has"
_GROUP = "names of the features in this group; every feature is in exactly one"

RULES: dict[str, dict[str, str]] = {
    "Config": {
        "tree": "the TTree with the events; a dataset may name another",
        "schema": "how coffea presents a file: `flat`, one column a branch (`BaseSchema`), or `nanoaod` "
        "(`NanoAODSchema`)",
        "luminosity": "in the inverse unit of the cross sections; required where a dataset has `xsec` and no "
        "`era`",
        "eras": "luminosities of periods of data taking, by name; a dataset says to which it belongs",
        "processor": "what selects events and hands them over",
        "datasets": "at least one; a processor finds the name in `events.metadata`",
        "features": "the columns that make the discriminant, at least one, none twice",
        "coordinates": "in what categories are learned; together the groups hold every feature once",
        "signals": "processes, none twice, that are signals; at least one process must be left as background",
        "channels": "signal and control regions, by the names that the processor gives them; without the key "
        "`{SR: {}}`. Categories are learned from the events of the first one with learned categories",
        "merge": "by new name, the backgrounds that are one process in templates and fit inputs; the "
        "training keeps them apart",
        "output": "folder for the results, from that of the configuration on; `--output` comes first",
        "maximise": "the expected significance, each category by itself, with known backgrounds or with "
        "uncertain ones; that of a fit with nuisance parameters; or the precision 1/σ(μ) of such a fit",
        "combine": "how the significances of several signals make one number: geometric mean, root of the "
        "sum of squares, the smallest, or the weighted sum; `determinant` of their covariance, with "
        "`maximise: precision` alone",
        "signal_weights": "factors of the signals for `combine: sum`, 1 where none is given",
        "other_signals": "whether the other signals are `background` to a signal, the default, or `ignored`; "
        "in fits with nuisance parameters, with a `floating` strength, the default, or `background`",
        "background_uncertainties": "relative systematic uncertainties by process, for `maximise: "
        "significance_with_uncertainty`; that of the simulation is always added",
        "nuisances": "names of nuisance parameters, for `profiled_significance` and `precision`: of `jes`, "
        "the processor hands over the variations `jesUp` and `jesDown`",
        "categories": "a number K, or a list of different ones, each learned by itself: with several, "
        "their files are in a folder `K<number>` each",
        "constraints": "what every category has to hold",
        "fit": "how the categories are trained, and on which events",
        "fit_model": "what becomes of the templates in the workspace and the datacard",
    },
    "DatasetConfig": {
        "files": "names, globs (`**` for any depth) or URLs. Relative ones start from the folder of the "
        "configuration, or from `--base`. Each must match something; no file may be in two datasets",
        "process": "required for simulation, and not allowed for data; letters, digits and `_`, not "
        "`data_obs`. Several datasets may make one process",
        "is_data": "collision data: `data_obs` in the templates, never trained on",
        "xsec": "cross section; only together with `sum_of_weights`",
        "sum_of_weights": "Σw(generated) of all generated events, before any cut; only together with "
        "`xsec`. Without both the weight is complete",
        "era": "a key of `eras`, whose luminosity the events are scaled to; the processor finds it in "
        "`events.metadata`",
        "metadata": "what else it finds there. A file may be in several datasets whose metadata differ",
        "tree": "the TTree of this dataset, if not that of the job",
    },
    "MetadataBranch": {
        "tree": "a TTree of every file of the dataset",
        "branch": "its branch to sum over all entries, once per file",
    },
    "ProcessorConfig": {
        "class": "`module:Class`, or `file.py:Class` with the path from the folder of the configuration. "
        "Made as `Class(sink, **options)`",
        "options": "keyword arguments of the class; for the default `weight` (a branch, or null to count "
        "every event once; default `weight`) and `event_id` (a branch of integers; by default a hash of "
        "file and entry)",
    },
    "FeatureConfig": {
        "name": "a branch, or a field that the processor adds",
        "missing": "the value, `.nan` included, that means “does not exist in this event”; such events "
        "get category −1",
    },
    "Identity": {
        "features": _GROUP,
        "kind": f"{_KIND}; the features as they stand, u = x",
        "width": "width of a cell, one a feature and in its unit; without it 1/320 (with a single "
        "coordinate 1/12800, from four on 1/200) of the range of the central 90 % of the first events read, "
        "rounded to a power of two",
    },
    "Linear": {
        "features": _GROUP,
        "kind": f"{_KIND}; u = x, in cells of 1/320 of the range, with a single coordinate 1/12800, from "
        "four on 1/200",
        "range": "[low, high], upwards, for all features of the group; values outside are kept",
    },
    "Logit": {
        "features": _GROUP,
        "kind": f"{_KIND}; single scores, u = log(p / (1 − p)), in cells of 1/32, with a single "
        "coordinate 1/160, from four on 1/20",
        "floor": "a score that is closer to 0 or 1 counts as this close; it travels with the categorizer",
    },
    "LogRatio": {
        "features": f"{_GROUP}; scores that add up to 1, the background's last",
        "kind": f"{_KIND}; u = log(p / p_last) for every score but the last, in cells of 1/32, "
        "with a single coordinate 1/160, from four on 1/20",
        "floor": "a score below it, 0 included, counts as this one; it travels with the categorizer",
    },
    "ChannelConfig": {
        "categorizer": "what gives the events of the channel their categories: `learned`, the ones that this "
        "job learns; `single_bin`, all of them in one; or the path of a `categorizer.json`, from the folder "
        "of the configuration",
        "observable": "what is binned inside each category, such as a mass",
    },
    "Observable": {
        "name": "a branch, or a field that the processor adds",
        "edges": "edges of the bins, each larger than the one before; a bin holds its lower edge",
        "flow": "what lies beyond the edges is in the outer bins, or left out; how much that is, is printed",
    },
    "EqualBins": {
        "bins": "number of bins",
        "low": "lower edge of the first",
        "high": "upper edge of the last",
    },
    "Constraints": {
        "min_background": "expected background events at the full luminosity",
        "min_effective_events": "effective number of simulated background events, (Σw)²/Σw²",
        "min_events": "number of simulated background events, whatever their weights",
        "max_relative_uncertainty": "√Σw²/Σw of the background, at most",
    },
    "FitConfig": {
        "model": "what the regions are made of: components of a Gaussian mixture, bins along each coordinate "
        "(as many of each as make at most K), or regions where one of K linear functions is the largest",
        "initialisation": "partitions of the cells that are good for the objective, or random ones",
        "smoothing": "whether gradient steps see smooth shares of the processes in the cells, where these "
        "can be had",
        "train_on": "the cells of the sample, or after them the events one by one: exact where cells are too "
        "coarse, in a time that grows with the number of events. `auto` takes events from four coordinates "
        "on, where there are no `nuisances`. Pass 1 then writes them to the output folder, which all workers "
        "must see",
        "event_steps": "gradient steps on events, from the best categories found on cells",
        "steps": "gradient steps from each start",
        "starts": "how many starts; the best hard categories of all are kept",
        "seed": "the same seed and the same sample give the same categories, on one kind of machine; other "
        "rounding, as with another number of threads, leads elsewhere, by less than the uncertainty",
        "folds": "events are split into so many folds, by a hash of their identifier",
        "held_out": "the folds, counted from 0, that are not trained on: some, but not all. By default "
        "the last, or none if there is one fold",
        "sample_cells": "how many cells the sample may have in a variation, over all datasets and folds; "
        "where there are more, they are doubled in size, along one coordinate after the other",
    },
    "FitModelConfig": {
        "layout": "one channel whose bins are the categories, or a channel for every category",
        "rate_uncertainties": "log-normal uncertainties by nuisance parameter: a factor for all simulated "
        "processes, or factors by process. 1.016 is 1.6 %; [0.92, 1.06] are the factors down and up",
        "groups": "nuisance parameters by the name of a group, for combine",
        "fill": "expected background events for bins that have none, which are an error without it: the "
        "significance there is that of this number",
    },
}

STATUSES = {
    0: "done",
    1: "a defect of cortado: please report the traceback",
    2: "the configuration, an option or an argument breaks a rule",
    3: "the events, files or trees are not what the job needs",
    4: "the output folder cannot be written, or must not be overwritten",
    5: "the training found no usable categories",
    6: "a fit of a statistical model did not converge",
    INTERRUPTED: "interrupted; what was finished stays, and the same command goes on from there",
}


def config_keys() -> str:
    """Markdown: a table for each section of the configuration."""
    schema = Config.model_json_schema()
    models = {"Config": schema, **schema["$defs"]}
    if set(models) != set(SECTIONS) or set(models) != set(RULES):
        raise ValueError(f"sections of the configuration are {sorted(models)}, described are {sorted(RULES)}")
    return "\n\n".join(_section(models[name], SECTIONS[name], RULES[name]) for name in SECTIONS)


def _section(model: dict[str, Any], title: str, rules: dict[str, str]) -> str:
    keys = model["properties"]
    if set(keys) != set(rules):
        raise ValueError(f"{title}: keys are {sorted(keys)}, described are {sorted(rules)}")
    lines = [f"**{title}**", "", "| key | type | default | |", "|---|---|---|---|"]
    for key, facts in sorted(keys.items(), key=lambda item: item[0] != "kind"):
        default = "required" if key in model.get("required", ()) else _default(facts)
        lines.append(f"| `{key}` | {_type(facts)} | {default} | {rules[key]} |")
    return "\n".join(lines)


def _default(facts: dict[str, Any]) -> str:
    if "const" in facts:
        return "required"  # it tells the kinds of groups apart
    value = facts.get("default", {})
    if isinstance(value, dict):
        return "see below" if value else "none"
    return "none" if value is None else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(facts: dict[str, Any]) -> str:
    if choices := facts.get("anyOf") or facts.get("oneOf"):
        return " or ".join(_type(choice) for choice in choices if choice.get("type") != "null")
    if "enum" in facts:
        return ", ".join(f"`{value}`" for value in facts["enum"])
    if "const" in facts:
        return f"`{facts['const']}`"
    if "prefixItems" in facts:
        return f"[{', '.join(_type(item) for item in facts['prefixItems'])}]"
    if facts.get("type") == "array":
        return f"list of {_plural(facts['items'])}"
    if facts.get("type") in ("number", "integer"):
        limits = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
        stated = ", ".join(f"{sign} {facts[key]:g}" for key, sign in limits.items() if key in facts)
        return f"{facts['type']} {stated}".strip()
    return {"string": "text", "boolean": "true or false"}.get(facts.get("type", ""), "mapping")


def _plural(facts: dict[str, Any]) -> str:
    singular = _type(facts)
    word, _, rest = singular.partition(" ")
    return {"text": "texts"}.get(word, f"{word}s") + (f" {rest}" if rest else "")


def command_options() -> str:
    """Markdown: a table of arguments and options for each command."""
    parts = []
    for name, command in commands().items():
        hints = get_type_hints(command.callback)
        rows = [_option(p, hints[p.name]) for p in command.params if p.name in hints]
        heading = f"**`cortado {name}`**: {command.help.strip()}"
        parts.append("\n".join([heading, "", "| option | default | |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def commands() -> dict[str, Any]:
    """The commands by name, as click knows them."""
    program: Any = typer.main.get_command(app)
    return dict(program.commands)


def options(command: str) -> set[str]:
    """Every spelling of the options of a command."""
    spelled = [o for parameter in commands()[command].params for o in parameter.opts]
    return {"--help", *(o for o in spelled if o.startswith("-"))}


def _option(parameter: Any, annotation: Any) -> str:
    # Of list[str] | None, too: an option that may be given several times.
    inner = {a for part in (annotation, *get_args(annotation)) for a in (part, *get_args(part))}
    kind = next(k for k in (bool, Path, int, str) if k in inner)
    value = {bool: "", Path: " PATH", int: " N", str: " TEXT"}[kind]
    spelled = sorted((o for o in parameter.opts if o.startswith("-")), key=len)
    shown = ", ".join(f"`{o}{value}`" for o in spelled) or f"`{parameter.name.upper()}`"
    default = "required" if parameter.required else f"`{parameter.default}`" if parameter.default else ""
    return f"| {shown} | {default} | {parameter.help} |"


def exit_statuses() -> str:
    """Markdown: what each exit status says."""
    kinds = [kind for kind in vars(errors).values() if hasattr(kind, "exit_status")]
    if unknown := {kind.exit_status for kind in kinds} - set(STATUSES):
        raise ValueError(f"exit statuses {sorted(unknown)} are not described")
    lines = ["| exit status | |", "|---:|---|"]
    return "\n".join([*lines, *(f"| {status} | {meaning} |" for status, meaning in STATUSES.items())])


def schema() -> str:
    """The JSON schema of a categorizer's file."""
    return json.dumps(_without_version(_with_defaults(Categorizer.model_json_schema())), indent=1) + "\n"


def _with_defaults(content: dict[str, Any]) -> dict[str, Any]:
    """The schema of a file, which has to say what features and coordinates have a default for in Python."""
    parts = [Features, *get_args(get_args(Coordinates)[0])]
    for part in (content["$defs"][model.__name__] for model in parts):
        part["required"] = list(part["properties"])
    return content


def _without_version(content: dict[str, Any]) -> dict[str, Any]:
    """The schema without the default of what depends on the version of cortado."""
    del content["properties"]["written_by"]["default"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **content}


BLOCKS = {
    "configuration.md": {"config keys": config_keys},
    "command-line.md": {"options": command_options, "exit statuses": exit_statuses},
}


def main() -> None:
    """Rewrite every table, and the schema."""
    SCHEMA.write_text(schema(), encoding="utf-8")
    for page, blocks in BLOCKS.items():
        refresh(DOCS / page, {name: write() for name, write in blocks.items()})


if __name__ == "__main__":
    main()
