"""Layer names that break formats, and a study that has them all."""

from __future__ import annotations

from costlens.study import Study
from tests.analysis.sketch import Sketch, dense

NAMES = (
    "a|b", "<script>alert(1)</script>", 'say "hi"', "it's", "two\nlines", "tab\tbed", "cr\rlf\r\n",
    "bell\x07esc\x1b[31m", "nul\x00", "naïve/层/слой", "\u202egnp.exe", "🧠👩‍🔬", "`code`",
    "$x$ ~~y~~", "**bold** _it_", "__init__", "conv2d_1", "a\\b", "ends\\", "a\\nb", "a\nb", "[x](http://y)",
    "&amp;", "&#35;", "# title", "{curly}", "{}", "%s", " led", "trailed ", "two  spaces", "a,b;c",
    "=1+1", "-x", "1. x", "]]>", "<!-- c -->", "end", "\u2028sep", "\ufeffbom", "\ufffe", "\x85nel",
    "\ud800", "x" * 300, "[bold]rich[/bold]", ":smile:", "--> n0", "%%{init}%%", "é\u0301",
)  # fmt: skip


def awkward() -> Study:
    """A chain of Dense layers, one for each name, in containers of such names too."""
    s = Sketch("model | <b>\n`x`")
    x = s.input((1, 2), 'in"put\n')
    for i, name in enumerate(NAMES):
        layer = ("block|\n<i>", name) if i % 5 == 0 else (name,)
        x = dense(s, x, 2, layer)
    s.notes = ("a note | of\none <line>",)
    return s.study(x)
