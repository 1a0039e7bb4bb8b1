"""The plain-text notation of the docstrings as MathML, which browsers draw by themselves.

    x_ik  h_{t−1}  S_p         below                e^{z_j}  Wᵀ  δˡ⁺¹  σ'      above
    ∂C/∂x, 1/m                 a fraction, where nothing stands between it and its slash; a / b stays on the line
    Σ_k, √(…), ½, x̂            a sum over k, a root, a half, an accent
    log, tanh, dW              a function's name upright, a differential as one
    where, else                any other word is a word

What is no such notation comes out as it is, sign by sign: nothing is refused.
"""

import re
import unicodedata
from html import escape

FUNCTIONS = frozenset(
    ["log", "exp", "sin", "cos", "tanh", "max", "min", "sign", "mean", "softmax", "sigmoid", "relu", "gelu", "cell"]
)
NAMES = frozenset(["scale", "low", "limit", "slope", "rate", "base", "margin"])
WORDS_BELOW = frozenset(["in", "out", "rows", "batch", "examples", "positions", "pairs", "old", "new", "heads"])
_ABOVE: dict[str, str] = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵀˡᴸʲᵃᶻᵘᵛ", "0123456789+−TlLjazuv", strict=True))
_BELOW: dict[str, str] = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₗₜₖᵢⱼₙ", "0123456789+−ltkijn", strict=True))
_ACCENTS = {"\u0302": "^", "\u0307": "˙", "\u0304": "¯", "\u0303": "~"}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<number>\d+(?:[.,]\d+)*)|(?P<word>[A-Za-z]{2,})|(?P<letter>[^\W\d_](?=[\u0300-\u036f]?))"
    r"|(?P<accent>[\u0300-\u036f])|(?P<sign>.)",
    re.DOTALL,
)


def mathml(text: str, block: bool = False) -> str:
    """One formula as a <math> element, which carries its plain text for who copies or searches it."""
    drawn = _Reader(text).all()
    style = ' displaystyle="true"' if block else ""
    return f'<math{style} alttext="{escape(text)}">{drawn}</math>'


def is_word(word: str) -> bool:
    """Whether letters are a word of English, and no name in a formula."""
    return len(word) > 1 and word not in FUNCTIONS | NAMES and not _is_differential(word)


def _is_differential(word):
    return len(word) == 2 and word[0] == "d" and word not in ("do",)


class _Reader:
    """Reads a formula from left to right."""

    def __init__(self, text: str, small: bool = False):
        text = "".join(unicodedata.normalize("NFD", sign) if sign.isalpha() else sign for sign in text)
        self.tokens = [(match.lastgroup or "sign", match[0]) for match in _TOKEN.finditer(text)]
        self.at = 0
        self.small = small

    def all(self) -> str:
        """Everything that is left."""
        parts = []
        while self.at < len(self.tokens):
            parts.append(self.term())
        return "".join(parts)

    def peek(self, ahead: int = 0) -> str:
        """The token to come, or nothing."""
        return self.tokens[self.at + ahead][1] if self.at + ahead < len(self.tokens) else ""

    def kind(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead][0] if self.at + ahead < len(self.tokens) else ""

    def take(self) -> str:
        self.at += 1
        return self.tokens[self.at - 1][1]

    def term(self) -> str:
        """One operand with what is above, below and under it."""
        if self.kind() == "space":
            return self.space()
        over = self.operand()
        if self.small or self.peek() != "/" or not self.peek(1) or self.kind(1) == "space":
            return over
        self.take()
        return f"<mfrac>{_bare(over)}{_bare(self.operand())}</mfrac>"

    def space(self) -> str:
        """Nothing, but for a gap that the source makes wide."""
        return '<mspace width="1.5em"/>' if len(self.take()) > 2 else ""

    def operand(self) -> str:
        base = self.base()
        below, above = "", ""
        while (found := self.script()) is not None:
            where, drawn = found
            below, above = (below + drawn, above) if where == "_" else (below, above + drawn)
        return _scripted(base, below, above)

    def script(self) -> tuple[str, str] | None:
        """What comes next if it stands above or below."""
        sign = self.peek()
        if sign and sign in "'′":
            self.take()
            return "^", "<mo>′</mo>"
        for where, signs in (("^", _ABOVE), ("_", _BELOW)):
            if sign in signs and sign:
                return where, self.run(signs)
        if sign and sign in "_^" and self.peek(1).strip():
            self.take()
            return sign, self.index()
        return None

    def run(self, signs: dict[str, str]) -> str:
        text = ""
        while self.peek() in signs and self.peek():
            text += signs[self.take()]
        turned = '<mspace width="0.1em"/><mi mathvariant="normal">T</mi>' if text.endswith("T") else ""
        return _Reader(text.removesuffix("T"), small=True).all() + turned

    def index(self) -> str:
        """What _ or ^ is followed by: something in brackets, or letters, each a name of its own."""
        if self.peek() in ("{", "("):
            brackets = self.peek()
            inside = _Reader(self.enclosed(), small=True).all()
            return inside if brackets == "{" else f"<mo>(</mo>{inside}<mo>)</mo>"
        sign = self.take() if self.peek() in ("−", "+") else ""
        names = self.take()
        while self.kind() in ("letter", "number", "word") and self.peek() not in _ABOVE:
            names += self.take()
        while self.peek() == "'":
            names += "′" if self.take() else ""
        drawn = f"<mtext>{names}</mtext>" if names in WORDS_BELOW else "".join(map(_name, names))
        return (f"<mo>{sign}</mo>" if sign else "") + drawn

    def enclosed(self) -> str:
        """The text in the brackets that open here."""
        opening, depth, text = self.take(), 1, ""
        while self.at < len(self.tokens):
            token = self.take()
            depth += (token == opening) - (token == _CLOSING[opening])
            if not depth:
                break
            text += token
        return text

    def base(self) -> str:
        kind, token = self.kind(), self.take()
        if kind == "word":
            gap = "" if self.peek() in ("(", "_", "^") else '<mspace width="0.2em"/>'
            return _word(token) + gap * (token in FUNCTIONS)
        if kind == "number":
            return f"<mn>{token}</mn>"
        if token == "d" and self.kind() == "letter" and not self.peek().isascii():
            return f"<mrow><mi>d</mi>{self.base()}</mrow>"
        if kind == "letter" and token not in "ΣΠ½":
            return self.accented(f"<mi>{token}</mi>")
        return self.sign(token)

    def accented(self, base: str) -> str:
        if self.kind() != "accent":
            return base
        return f'<mover accent="true">{base}<mo stretchy="false">{_ACCENTS.get(self.take(), "^")}</mo></mover>'

    def sign(self, token: str) -> str:
        if token == "√" and self.peek().strip():
            return f"<msqrt>{_bare(self.operand())}</msqrt>"
        if token == "½":
            return "<mfrac><mn>1</mn><mn>2</mn></mfrac>"
        if token == "∂":
            return self.partial()
        if token in _CLOSING and self.closes(token):
            self.at -= 1
            inside = _Reader(self.enclosed(), self.small).all()
            return f'<mrow class="brackets"><mo>{token}</mo>{inside}<mo>{_CLOSING[token]}</mo></mrow>'
        return f"<mo{_habits(token)}>{escape({'Σ': '∑', 'Π': '∏', '*': '∗'}.get(token, token))}</mo>"

    def closes(self, opening: str) -> bool:
        """Whether the bracket that was just taken is closed further on."""
        depth = 1
        for _, token in self.tokens[self.at :]:
            depth += (token == opening) - (token == _CLOSING[opening])
            if not depth:
                return True
        return False

    def partial(self) -> str:
        """∂ and what it is of, so that both stand above or below a fraction's line."""
        sign, times = "<mi>∂</mi>", self.run(_ABOVE)
        sign = f"<msup>{sign}{_row(times)}</msup>" if times else sign
        return f"<mrow>{sign}{self.operand()}</mrow>" if self.peek().strip() and self.peek() not in "/)" else sign


def _word(word):
    if _is_differential(word):
        return f"<mrow><mi>d</mi><mi>{word[1]}</mi></mrow>"
    return f"<mtext>\u00a0{word}\u00a0</mtext>" if is_word(word) or word in NAMES else f"<mi>{word}</mi>"


def _name(letter):
    return f"<mn>{letter}</mn>" if letter.isdigit() else f"<mi>{letter}</mi>"


def _habits(token):
    """Bars do not grow, and have no side."""
    return ' stretchy="false" form="prefix"' if token in "|‖" else ' form="infix"' if token in "−+" else ""


def _scripted(base, below, above):
    if not (below or above):
        return base
    sums = base.startswith(("<mo>∑", "<mo>∏", "<mi>max", "<mi>min"))
    if below and above:
        return f"<msubsup>{_row(base)}{_row(below)}{_row(above)}</msubsup>"
    tag, script = (("munder" if sums else "msub"), below) if below else ("msup", above)
    return f"<{tag}>{_row(base)}{_row(script)}</{tag}>"


def _row(drawn):
    return f"<mrow>{drawn}</mrow>"


def _bare(drawn):
    """Above, below a line or under a root brackets say nothing."""
    found = re.fullmatch(r'<mrow class="brackets"><mo>\(</mo>(.*)<mo>\)</mo></mrow>', drawn)
    return _row(found[1] if found else drawn)
