"""What a shell offers while a command is typed: quickly, from what is there, and nothing rather than an error."""

from __future__ import annotations

import glob
from collections.abc import Callable

import typer

from hpsearch import api

# As hpsearch.results.best has them, which takes a second to import.
RULE_NAMES = ("finals", "lowest", "one-se")


def _quietly(offers: Callable[[typer.Context], list[str]], context: typer.Context, incomplete: str) -> list[str]:
    try:
        return [offer for offer in offers(context) if offer.startswith(incomplete)]
    except Exception:  # whatever it is, it would be printed into the line that is being typed
        return []


def studies(context: typer.Context, incomplete: str) -> list[str]:
    """The studies of the storage named before on the line, or the default one, and study files."""

    def offers(context: typer.Context) -> list[str]:
        from hpsearch.storage.names import stored_names

        files = sorted(glob.glob(f"{glob.escape(incomplete)}*.toml"))
        return [*stored_names(api.storage_url(context.params.get("storage"))), *files]

    return _quietly(offers, context, incomplete)


def examples(context: typer.Context, incomplete: str) -> list[str]:
    """The examples of ``init``."""

    def offers(context: typer.Context) -> list[str]:
        from hpsearch.definition import examples

        return examples.names()

    return _quietly(offers, context, incomplete)


def rules(context: typer.Context, incomplete: str) -> list[str]:
    """The rules of ``best``."""
    return _quietly(lambda context: [*RULE_NAMES], context, incomplete)
