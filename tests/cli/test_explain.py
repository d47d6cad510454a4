"""``costlens explain``: what is shown of a layer, in which form, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.conftest import Costlens

MORE = """
import keras
from keras import layers

words = keras.Input((9, 4), name="words")
x = layers.LSTM(3, return_sequences=True, name="lstm")(words)
x = layers.MultiHeadAttention(2, 5, name="attention")(x, x)
x = layers.Dropout(0.5, name="drop")(x)
twice = layers.Dense(3, name="twice")
x = twice(twice(x))
more = keras.Model(words, layers.Embedding(8, 2, name="strange_*_[name]")(x), name="more")
"""


@pytest.fixture
def more(costlens: Costlens, tmp_path: Path) -> Costlens:
    """The same, with a model of attention, a loop, a view and a shared layer."""
    (tmp_path / "more.py").write_text(MORE, encoding="utf-8")
    return costlens


def shown(costlens: Costlens, *arguments: str) -> str:
    """The output of a command that succeeds and says nothing else."""
    result = costlens("explain", *arguments)
    assert (result.code, result.err) == (0, "")
    return result.out


def test_a_convolution_from_its_layer_to_its_numbers(costlens: Costlens) -> None:
    text = shown(costlens, "net.py", "block/reduce")
    lines = text.splitlines()
    assert lines[:3] == ["net", "", "block/reduce"]
    assert lines[3] == "Layer  Conv2D  3 ops"
    # 6·6 positions, one tap, 4 → 4 channels, batch 1
    assert re.search(r"\n +6·6 × 1·1 × 4 × 4 × 1 +576\n", text)
    assert "output positions × kernel taps × Cin × Cout × batch" in text
    assert re.search(r"\n +1·1·4·4 \+ 4 +20\n", text)
    assert re.search(r"\nblock/reduce/kernel +1×1×4×4 +float32 +16 yes +64\n", text)
    assert re.search(r"\nRule +costlens/cost/rules.py:[0-9]+ +Convolution: output positions", text)
    assert re.search(r"\nReads +1×6×6×4 +float32, from stem\n", text)
    assert text.count("An epilogue: ") == 2


def test_what_is_shown_are_the_figures_of_analyze(costlens: Costlens) -> None:
    for name in ("stem", "block/reduce", "block/bn", "head"):
        text = shown(costlens, "net.py", name)
        result = costlens("analyze", "net.py", "--layer", name, "--format", "csv").out
        titles, values = (line.split(",") for line in result.splitlines())
        row = dict(zip(titles, values, strict=True))
        for label, field in (("FLOPs", "flops"), ("Bytes moved", "bytes_moved")):
            found = re.search(rf"\n{label} .*\n +.* ([0-9,]+)\n", text)
            assert found and found[1].replace(",", "") == row[field], (name, field)


@pytest.mark.parametrize("width", ["80", "100", "120"])
@pytest.mark.parametrize("layer", ["lstm", "attention", "drop", "twice", "words"])
def test_it_fits_the_terminal(
    more: Costlens, monkeypatch: pytest.MonkeyPatch, layer: str, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    lines = shown(more, "more.py", layer).splitlines()
    assert max(map(len, lines)) <= int(width)
    assert lines[2] == layer


def test_a_loop_shows_its_steps(more: Costlens) -> None:
    text = shown(more, "more.py", "lstm")
    assert re.search(r"\nSteps +9 +of a loop\n", text)
    # the input's four features meet 4·3 gates in each of 9 steps
    assert re.search(r"\n +1·12 × 4 × 9 +432\n", text)


def test_ops_that_do_the_same_are_shown_together(more: Costlens) -> None:
    text = shown(more, "more.py", "attention")
    assert re.search(r"\nLikewise +key/einsum_dense, value/einsum_dense\n", text)
    assert "\nattention/key/einsum_dense: einsum\n" not in text
    assert "\nattention/scores: einsum\n" in text


def test_a_view_is_zero_and_says_why(more: Costlens) -> None:
    text = shown(more, "more.py", "drop")
    assert "Zero: Parameters, MACs, FLOPs, Weight bytes, Activation bytes, Bytes moved." in text
    assert "It shares the buffer of what it reads" in text


def test_a_second_call_refers_to_the_first(more: Costlens) -> None:
    text = shown(more, "more.py", "twice")
    assert "\ntwice (call 2)\n" in text
    assert "Op by op this call is the same as call 1." in text
    assert re.search(r"\ntwice/kernel +3×3 +float32 +on call 1 yes +36\n", text)
    assert text.count("twice/dense: einsum") == 1


def test_an_unknown_is_a_lower_bound_with_its_reason(costlens: Costlens) -> None:
    text = shown(costlens, "odd.py", "odd")
    assert re.search(r"\nUnknown +it runs Python code, which TensorFlow does not trace\n", text)
    assert re.search(r"\nMACs +not known +≥ 0\n", text)
    assert "Not fully counted: it runs Python code, which" in text


def test_a_glob_explains_every_layer_that_it_matches(costlens: Costlens) -> None:
    lines = shown(costlens, "net.py", "block/*").splitlines()
    assert [line for line in lines if line in ("block/reduce", "block/bn", "stem")] == [
        "block/reduce", "block/bn",
    ]  # fmt: skip


def test_markdown_by_flag_and_by_suffix(more: Costlens, tmp_path: Path) -> None:
    text = shown(more, "more.py", "strange_*_[[]name]", "--format", "markdown")
    assert text.startswith("# more\n\n## strange\\_\\*\\_\\[name\\]\n")
    assert "| Figure " in text and "\n## strange" in text
    assert shown(more, "more.py", "strange_*_[[]name]", "-o", "out.md") == ""
    assert (tmp_path / "out.md").read_text(encoding="utf-8") == text
    assert shown(more, "more.py", "drop", "-o", "out.txt") == ""
    assert (tmp_path / "out.txt").read_text(encoding="utf-8").startswith("more\n\ndrop\n")


def test_sizes_come_from_the_flags(costlens: Costlens) -> None:
    text = shown(costlens, "open.py:conv", "conv", "--input-shape", "9,7,3", "--batch", "2")
    assert re.search(r"\n +7·5 × 3·3 × 3 × 4 × 2 +7,560\n", text)


def test_two_runs_are_the_same_and_name_no_machine(more: Costlens, tmp_path: Path) -> None:
    first, second = (shown(more, "more.py", "*") for _ in range(2))
    assert first == second
    assert str(tmp_path) not in first and "/src/" not in first


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("net.py", "redu"), "redu: the model has no layer of this path. Try: block/reduce."),
        (("net.py", "block"), "it holds layers and is none itself. Write 'block/*' for those in"),
        (("net.py", "zzz"), "'costlens analyze' lists the layers."),
        (("net.py", "st\nem"), "st em: the model has no layer of this path. Try: stem."),
        (("nosuch.py", "stem"), "nosuch.py: no such file."),
        (("net.py",), "the following arguments are required: LAYER_OR_BLOCK."),
        (("net.py", "stem", "--format", "json"), "argument --format: invalid choice: 'json'"),
        (("net.py", "stem", "-o", "out.csv"), ".csv is not a format of explain. End it in .md, "),
        (("net.py", "stem", "-o", "nosuch/out.md"), "there is no folder nosuch."),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    costlens: Costlens, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = costlens("explain", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("costlens: ") and result.err.count("\n") == 1
    assert says in result.err
    assert not [*tmp_path.glob("out*")]
