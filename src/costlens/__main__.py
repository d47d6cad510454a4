"""``python -m costlens``."""

from costlens.cli import command

command()
