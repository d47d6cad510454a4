"""A script's command-line arguments: those that it cannot do without are filled in."""

from __future__ import annotations

import argparse
from typing import Any

from costlens.errors import InputError
from costlens.frontends.script.log import Log
from costlens.frontends.script.patches import Patches


def fill_in(log: Log, patches: Patches) -> None:
    """``argparse`` finds what it requires, and says in one line what it refuses."""
    original = argparse.ArgumentParser.parse_known_args

    def parse(self: Any, args: Any = None, namespace: Any = None) -> Any:
        missing = [action for action in self._actions if _must_be_given(action)]
        for action in missing:
            action.required = False
            if not action.option_strings:
                action.nargs = "?" if action.nargs is None else "*"
            if action.default is None:
                action.default = _plausible(action)
        given, rest = original(self, args, namespace)
        filled = [a for a in missing if getattr(given, a.dest, None) is a.default]
        if filled:
            shown = ", ".join(_shown(action, given) for action in filled)
            log.say(f"its arguments are taken as {shown}", "Pass others after --.")
        return given, rest

    def refuse(self: Any, message: str) -> None:
        raise InputError(log.line(), f"its arguments are wrong: {message}", "Pass others after --.")

    def leave(self: Any, status: int = 0, message: str | None = None) -> None:
        raise InputError(log.line(), "it only prints its help", "Pass other arguments after --.")

    patches.set(argparse.ArgumentParser, "parse_known_args", parse)
    patches.set(argparse.ArgumentParser, "error", refuse)
    patches.set(argparse.ArgumentParser, "exit", leave)


def _must_be_given(action: argparse.Action) -> bool:
    return action.required and not isinstance(action, argparse._SubParsersAction)


def _plausible(action: argparse.Action) -> Any:
    """A value of the kind that the argument takes."""
    value: Any = "data"
    if action.choices:
        value = next(iter(action.choices))
    elif callable(action.type):
        try:
            value = action.type("1")
        except Exception:
            value = None
    return [value] if action.nargs not in (None, "?") else value


def _shown(action: argparse.Action, given: argparse.Namespace) -> str:
    name = action.option_strings[-1] if action.option_strings else action.dest
    return f"{name} {getattr(given, action.dest, None)}"
