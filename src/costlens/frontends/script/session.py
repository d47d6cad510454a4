"""One run of a script in this process: everything stood in for, run, found, put back."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from costlens.errors import CostlensError, InputError
from costlens.frontends.abstract import abstract_keras, import_keras
from costlens.frontends.script import (
    arguments,
    datasets,
    disk,
    legacy,
    modules,
    named,
    outside,
    spellings,
    standin,
    tfops,
    training,
)
from costlens.frontends.script.execute import (
    beside,
    blamed,
    failure,
    import_module,
    importable,
    run_file,
)
from costlens.frontends.script.guard import Guard, TimeUp, in_keras
from costlens.frontends.script.log import Log
from costlens.frontends.script.models import Found, Seen, models, ranked, sizes_of_data
from costlens.frontends.script.patches import Patches
from costlens.frontends.script.request import ABSTRACTLY, Answer, Listed, Request, Running
from costlens.frontends.sizes import InputShape, Wanted
from costlens.frontends.target import Target, parse_target


@dataclass(frozen=True)
class Loaded:
    """The models of a target, the main one first, and the warnings."""

    models: tuple[Found, ...]
    warnings: tuple[str, ...]
    skipped: CostlensError | None = None
    """The skipped line that a model may depend on most."""


def answer(request: Request, folder: Path | None = None) -> Answer:
    """Run a TARGET and read its models; ``folder`` takes what the script writes."""
    said: dict[str, None] = {}

    wanted, target = request.wanted, parse_target(request.target)
    loaded = load(target, wanted.input_shape, request.everything, request.running, folder)
    read: list[Listed] = []
    failures: list[tuple[Found, CostlensError]] = []
    for each in loaded.models:
        wanted_too = request.everything or not read or not any(m.graph for m in read)
        if not wanted_too or (failures and not request.everything and not _part(each, failures)):
            read.append(Listed(each.target, each.line, each.params))
            continue
        try:
            sizes = _at_data(each, wanted, said)
            with nullcontext() if request.running.real else _abstractly(each):
                read.append(_read(each, sizes))
        except CostlensError as error:
            failures.append((each, error))
            read.append(Listed(each.target, each.line, each.params, problem=str(error)))
    if not any(listed.graph for listed in read):
        raise _in_context(failures[0][1], loaded, len(failures))
    read.sort(key=lambda listed: listed.graph is None)
    old = legacy.keras_2(target.path)
    keras = old or import_keras()
    backend = "tensorflow" if old else str(keras.backend.backend())
    return Answer(tuple(read), (*loaded.warnings, *said), str(keras.__version__), backend)


@contextmanager
def _abstractly(each: Found) -> Iterator[None]:
    """While a model of Keras 3 is read, what it builds stays a shape, as all that it is made of."""
    from costlens.frontends.keras2_live import is_keras_2_model

    with nullcontext() if is_keras_2_model(each.model) else abstract_keras():
        yield


def _read(each: Found, wanted: Wanted) -> Listed:
    from costlens.frontends import keras2_live, keras_live

    if keras2_live.is_keras_2_model(each.model):
        made = keras_live.Graphs(keras2_live.read(each.model, wanted))
    else:
        made = keras_live.read(each.model, wanted, each.inputs)
    params = sum(weight.params for weight in made.graph.weights.values())
    return Listed(each.target, each.line, params, made.graph, made.traced, made.step)


def _part(each: Found, failures: Sequence[tuple[Found, CostlensError]]) -> bool:
    """Whether a model is part of one that could not be called, for which it may stand."""
    own = {id(weight) for weight in each.model.weights}
    return bool(own) and any(
        own <= {id(weight) for weight in whole.model.weights} for whole, _ in failures
    )


def _at_data(each: Found, wanted: Wanted, said: dict[str, None]) -> Wanted:
    """Where nobody says how large a model's open inputs are: as the script's data."""
    shapes = sizes_of_data(each) if wanted.input_shape is None else None
    if shapes is None:
        return wanted
    said[f"{each.target}: it is read at the size of the data that the script gives it."] = None
    return replace(wanted, input_shape=shapes)


def _in_context(error: CostlensError, loaded: Loaded, wanted: int) -> CostlensError:
    """An error of reading, with the line that may have led to it, and what else there is."""
    fix = error.fix
    if loaded.skipped is not None:
        fix += f" Skipped before: {loaded.skipped.where}: {loaded.skipped.what}."
    others = loaded.models[wanted:]
    if others:
        shown = ", ".join(f"{each.target} ({each.params:,})" for each in others[:5])
        fix += f" Others there: {shown}."
    return type(error)(error.where, error.what, fix.strip())


def load(
    target: Target,
    input_shape: InputShape = None,
    everything: bool = False,
    running: Running = ABSTRACTLY,
    folder: Path | None = None,
) -> Loaded:
    """The models of a target, the main one first; one where the target names one.

    The main model is the largest that no other contains. Raises InputError where there is no
    model, the name is missing or is no model, or two candidates for the main model are equal in
    size (unless ``everything`` is wanted).
    """
    log = Log()
    guard = Guard(log)
    with ExitStack() as stack:
        stack.enter_context(_output_aside())
        stack.enter_context(importable(_folders(target), _arguments(target, running)))
        if running.real:
            keras = import_keras()
        else:
            keras = stack.enter_context(abstract_keras())
            stack.enter_context(beside(_folders(target)[:1], guard, log))
        guard.parts = (keras.layers.Layer, keras.KerasTensor)
        keras = legacy.keras_2(target.path) or keras
        seen = Seen(keras, log, guard)
        stack.enter_context(_stood_in(keras, guard, log, seen, running, folder))
        listed = _found(target, seen, input_shape, running)
        if target.attribute is None:
            listed = ranked(target, list(listed), everything, seen)
    seen.over = True
    return Loaded(tuple(listed), log.said(), _first_failure(target, guard))


def _found(
    target: Target, seen: Seen, input_shape: InputShape, running: Running
) -> Sequence[Found]:
    """Run the target as often as it takes to find a model: as a module, then as a program."""
    if target.path is None:
        scene = named.Scene(target, import_module(target, seen.log), seen, input_shape)
        return (named.named(scene, ()),)
    as_program = running.real or _has_main(target.path)
    with _time_limit(running):
        scene = named.Scene(target, {}, seen, input_shape)
        for name in ("__costlens__", "__main__"):
            if name == "__costlens__" if running.real else name == "__main__" and not as_program:
                continue
            scene = named.Scene(target, _run(target, name, seen, running), seen, input_shape)
            listed = models(target, scene.names, seen)
            if target.attribute is None and listed:
                return listed
            if target.attribute is not None and named.is_there(scene, listed):
                break
        if target.attribute is not None:
            return (named.named(scene, listed),)
        listed = named.made_by_factories(scene)
    if not listed:
        raise _nothing_found(scene)
    return listed


def _run(target: Target, name: str, seen: Seen, running: Running) -> Mapping[str, Any]:
    assert target.path is not None
    if not running.real:
        return run_file(target.path, name, seen.guard, seen.log)
    with blamed(target, seen.log):
        return run_file(target.path, name, None, seen.log)


def _has_main(path: Path) -> bool:
    """Whether a script does some of its work only when it is run as a program."""
    return b"__main__" in path.read_bytes()


def _nothing_found(scene: named.Scene) -> CostlensError:
    """Why there is no model: the line that failed first, one of Keras's before any other."""
    guard = scene.seen.guard
    if guard.timed_out:
        what = "it is stopped by its time limit, and has made no model until then"
        return InputError(scene.target.where, what, "Give it more with --time-limit.")
    failed = _first_failure(scene.target, guard)
    if failed is not None:
        return failed
    what = "none of its variables holds a Keras model"
    return InputError(scene.target.where, what, named.offer(scene) + named.skipped(scene))


def _first_failure(target: Target, guard: Guard) -> CostlensError | None:
    """The line that failed first, one of Keras's before any other; None where none failed."""
    for where, error in sorted(guard.failed, key=lambda each: not in_keras(each[1])):
        return failure(error, where or target.where)
    return None


def _folders(target: Target) -> list[str]:
    """Where a script finds what it imports: its own folder, as when it is run, else the
    working directory."""
    return [str(target.path.resolve().parent)] if target.path else [str(Path.cwd())]


def _arguments(target: Target, running: Running) -> list[str]:
    return [str(target.path or target.module), *running.arguments]


@contextmanager
def _stood_in(
    keras: Any, guard: Guard, log: Log, seen: Seen, running: Running, folder: Path | None
) -> Iterator[None]:
    """Everything that a script would touch is replaced, and put back."""
    patches = Patches()
    if running.real:
        seen.watch(patches)
        try:
            yield
        finally:
            patches.undo()
        return
    with ExitStack() as stack:
        if folder is None:
            made = tempfile.TemporaryDirectory(prefix="costlens-", ignore_cleanup_errors=True)
            folder = Path(stack.enter_context(made))
        stack.callback(patches.undo)
        stack.callback(standin.told(log))
        finder = modules.stand_in_modules(guard, log, patches)
        stack.callback(modules.forget, finder)
        old = keras.__name__ == "tf_keras"
        if not old:
            spellings.old_spellings(keras, log, patches)
        seen.watch(patches)
        if old:
            legacy.stand_in(keras, guard, seen, patches)
        else:
            training.stand_in(keras, guard, seen, patches)
            guard.prepare(tfops.WORDS, lambda: tfops.wrapped_ops(keras, log, patches))
        guard.prepare(datasets.WORDS, lambda: datasets.stand_in(keras, log, finder, patches))
        arguments.fill_in(log, patches)
        disk.nothing_written(folder, patches)
        outside.cut_off(log, patches)
        yield


@contextmanager
def _time_limit(running: Running) -> Iterator[None]:
    """The script is told to stop when its time is up, again and again until it does."""
    here = threading.current_thread() is threading.main_thread()
    if not here or not hasattr(signal, "setitimer") or running.time_limit <= 0:
        yield
        return

    def stop(*args: Any) -> None:
        raise TimeUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, running.time_limit, 1.0)
    try:
        yield
    except TimeUp as error:
        what = f"it still runs after {running.time_limit:.0f} s"
        raise InputError("", what, "Give it more with --time-limit.") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _output_aside() -> Iterator[None]:
    """What a script prints, and what the programs print that it starts, goes to standard error."""
    with ExitStack() as stack:
        stack.enter_context(redirect_stdout(sys.stderr))
        with suppress(OSError):  # one of the two is closed
            kept = os.dup(1)
            stack.callback(os.close, kept)
            os.dup2(2, 1)
            stack.callback(os.dup2, kept, 1)
        yield
