"""Shared set-up: an abstract Keras, and helpers to read a model in a test."""

from __future__ import annotations

import os

import pytest

from costlens.frontends.script import process, session

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")


@pytest.fixture(autouse=True)
def scripts_in_this_process(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts run in the test's own process, which has Keras loaded already.

    A test that wants a process of its own asks for the fixture ``own_process``.
    """
    if "own_process" not in request.fixturenames:
        monkeypatch.setattr(process, "ask", session.answer)


@pytest.fixture
def own_process() -> None:
    """Scripts run as they do for a user, in a process of their own."""
