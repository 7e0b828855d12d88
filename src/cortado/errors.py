"""Errors a user can cause or meet, each with the exit status that the command line returns.

Every message is one clear sentence that names the argument, file or field, the rule and the value.
"""

from __future__ import annotations


class CortadoError(Exception):
    """Base of all errors that cortado raises on purpose; the command line shows no traceback for them."""

    exit_status = 1


class ConfigError(CortadoError, ValueError):
    """A configuration, an option or an argument breaks a rule."""

    exit_status = 2


class InputError(CortadoError, ValueError):
    """The events, files or trees given are not what the job needs."""

    exit_status = 3


class OutputError(CortadoError, OSError):
    """The output folder or a file in it cannot be written, or must not be overwritten."""

    exit_status = 4


class TrainingError(CortadoError, RuntimeError):
    """The optimisation found no usable categories."""

    exit_status = 5
