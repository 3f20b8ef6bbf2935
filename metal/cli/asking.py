"""Asking a person before something is ended or erased; a program says --yes."""

import sys

import typer

from metal.errors import SpecError


def confirm(question: str, *, yes: bool) -> None:
    """Ask at a terminal. Raises SpecError where nobody can answer, typer.Abort on a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise SpecError(f"{question} Nobody is there to answer", hint="--yes says it beforehand")
    typer.confirm(question, abort=True, err=True)
