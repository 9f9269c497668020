"""Parse a template to a tree: the grammar of text/template.

template = { text | "{{" ["- "] action [" -"] "}}" }
action   = pipeline | "if" pipeline | "else" ["if" | "with"] … | "range" … | "with" … | "end" | "break" | "continue" | comment
pipeline = [ "$x" [", $y"] (":=" | "=") ] command { "|" command }
command  = operand { operand }
operand  = (literal | "." | ".Field" | "$x" | function | "(" pipeline ")") { ".Field" }
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple


class TemplateError(Exception):
    """The text is not a template; the message is Go's, after ``template: :LINE: ``."""


class Literal(NamedTuple):
    """A constant."""

    value: object


class Dot(NamedTuple):
    """The current value."""


class Variable(NamedTuple):
    """``$name``; ``$`` alone is the whole data."""

    name: str


class Call(NamedTuple):
    """A function's name."""

    name: str


class Chain(NamedTuple):
    """Fields of something: ``.A.B``, ``$x.A``, ``(pipeline).A``."""

    start: "Operand"
    fields: tuple[str, ...]
    source: str
    column: int


class Command(NamedTuple):
    """A value, or a function or method with its arguments."""

    operands: tuple["Operand", ...]


class Pipeline(NamedTuple):
    """Commands, each one's value being the next one's last argument."""

    commands: tuple[Command, ...]
    names: tuple[str, ...] = ()
    """Variables that receive the value."""


class Text(NamedTuple):
    """The text between actions."""

    text: str


class Show(NamedTuple):
    """``{{pipeline}}``."""

    pipeline: Pipeline


class Branch(NamedTuple):
    """``if``, ``with`` or ``range``, by ``keyword``."""

    keyword: str
    pipeline: Pipeline
    body: tuple["Node", ...]
    otherwise: tuple["Node", ...]


class Leave(NamedTuple):
    """``break`` or ``continue``."""

    keyword: str


Operand = Literal | Dot | Variable | Call | Chain | Pipeline
Node = Text | Show | Branch | Leave


class _Token(NamedTuple):
    kind: str
    text: str
    column: int


_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
      | (?P<char>'(?:[^'\\\n]|\\.)')
      | (?P<number>[+-]?(?:0x[0-9a-fA-F]+|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?))
      | (?P<field>\.[A-Za-z_]\w*)
      | (?P<dot>\.)
      | (?P<variable>\$\w*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<mark>:=|=|\||\(|\)|,)""",
    re.VERBOSE,
)
_ACTION: Final = re.compile(
    r"""\{\{(?P<left>-\s)?\s*
        (?:/\*.*?\*/\s*|(?P<inside>(?:"(?:[^"\\\n]|\\.)*"|`[^`]*`|(?!\s-\}\}|\}\}).)*))
        (?P<right>\s-)?\}\}""",
    re.VERBOSE | re.DOTALL,
)
_CONSTANTS: Final = {"true": True, "false": False, "nil": None}
_ESCAPE: Final = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)")
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def parse(source: str) -> tuple[Node, ...]:
    """Parse a template to a tree.

    Raises:
        TemplateError: the text is malformed.
    """
    nodes, ended_by, _ = _nodes(_Pieces(source))
    if ended_by:
        raise TemplateError(f"unexpected {{{{{ended_by}}}}}")
    return nodes


class _Pieces:
    """Text and actions in order, trim markers applied."""

    def __init__(self, source: str) -> None:
        self._pieces = list(_pieces(source))

    def next(self) -> tuple[str, list[_Token]] | None:
        return self._pieces.pop(0) if self._pieces else None


def _pieces(source: str) -> Iterator[tuple[str, list[_Token]]]:
    position, trim = 0, False
    while (start := source.find("{{", position)) >= 0:
        action = _ACTION.match(source, start)
        if action is None:
            raise TemplateError("unclosed action")
        text = source[position:start]
        text = text.lstrip() if trim else text
        yield text.rstrip() if action["left"] else text, []
        trim = bool(action["right"])
        if action["inside"] is not None:
            tokens = list(_tokens(action["inside"], action.start("inside")))
            if not tokens:
                raise TemplateError("missing value for command")
            yield "", tokens
        position = action.end()
    yield source[position:].lstrip() if trim else source[position:], []


def _tokens(inside: str, column: int) -> Iterator[_Token]:
    position = 0
    while position < len(inside):
        match = _TOKEN.match(inside, position)
        if match is None:
            raise TemplateError(f'unexpected "{inside[position]}" in command')
        kind = str(match.lastgroup)
        yield _Token(kind, match.group(), column + position)
        position = match.end()


def _nodes(pieces: _Pieces) -> tuple[tuple[Node, ...], str, list[_Token]]:
    """Return the nodes up to ``end`` or ``else``, which of these it was, and what follows
    ``else``.
    """
    found: list[Node] = []
    while (piece := pieces.next()) is not None:
        text, tokens = piece
        if text:
            found.append(Text(text))
        if not tokens:
            continue
        word = tokens[0].text if tokens[0].kind == "name" else ""
        if word in ("end", "else"):
            return tuple(found), word, _stripped(tokens[1:])
        if word in ("if", "with", "range"):
            found.append(_branch(word, tokens[1:], pieces))
        elif word in ("break", "continue"):
            found.append(Leave(word))
        else:
            found.append(Show(_Reader(tokens).whole_pipeline()))
    return tuple(found), "", []


def _branch(keyword: str, tokens: list[_Token], pieces: _Pieces) -> Branch:
    if not _stripped(tokens):
        raise TemplateError(f"missing value for {keyword}")
    pipeline = _Reader(tokens).whole_pipeline()
    body, ended_by, following = _nodes(pieces)
    otherwise: tuple[Node, ...] = ()
    if ended_by == "else":
        if following:
            otherwise = (_branch(following[0].text, following[1:], pieces),)
            ended_by = "end"
        else:
            otherwise, ended_by, _ = _nodes(pieces)
    if ended_by != "end":
        raise TemplateError("unexpected EOF")
    return Branch(keyword, pipeline, body, otherwise)


def _stripped(tokens: list[_Token]) -> list[_Token]:
    return [token for token in tokens if token.kind != "space"]


class _Reader:
    """Reads one action's tokens."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def whole_pipeline(self) -> Pipeline:
        pipeline = self.pipeline()
        if (token := self._peek()) is not None:
            raise TemplateError(f"unexpected {token.text} in command")
        return pipeline

    def pipeline(self) -> Pipeline:
        names = self._declared()
        commands = [self._command()]
        while self._accept("|"):
            commands.append(self._command())
        return Pipeline(tuple(commands), names)

    def _declared(self) -> tuple[str, ...]:
        before, names = self._at, []
        while (token := self._peek()) is not None and token.kind == "variable":
            names.append(token.text[1:])
            self._at += 1
            if self._accept(":=") or self._accept("="):
                return tuple(names)
            if not self._accept(","):
                break
        self._at = before
        return ()

    def _command(self) -> Command:
        operands: list[Operand] = []
        while (token := self._peek()) is not None and token.text not in ("|", ")"):
            operands.append(self._operand(token))
        if not operands:
            raise TemplateError("missing value for command")
        return Command(tuple(operands))

    def _operand(self, token: _Token) -> Operand:
        first = self._at
        start, fields = self._start(token), []
        if token.kind == "field":
            fields.append(token.text[1:])
        while self._at < len(self._tokens) and self._tokens[self._at].kind == "field":
            fields.append(self._tokens[self._at].text[1:])
            self._at += 1
        if not fields:
            return start
        source = "".join(part.text for part in self._tokens[first : self._at]).strip()
        return Chain(start, tuple(fields), source, token.column)

    def _start(self, token: _Token) -> Operand:
        self._at += 1
        match token.kind:
            case "string":
                return Literal(unquoted(token.text))
            case "char":
                return Literal(ord(unquoted(token.text)))
            case "number":
                return Literal(_number(token.text))
            case "field" | "dot":
                return Dot()
            case "variable":
                return Variable(token.text[1:])
            case "name":
                return (
                    Literal(_CONSTANTS[token.text])
                    if token.text in _CONSTANTS
                    else Call(token.text)
                )
        if token.text != "(":
            raise TemplateError(f'unexpected "{token.text}" in operand')
        inner = self.pipeline()
        if not self._accept(")"):
            raise TemplateError("unclosed left paren")
        return inner

    def _peek(self) -> _Token | None:
        while self._at < len(self._tokens) and self._tokens[self._at].kind == "space":
            self._at += 1
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _accept(self, mark: str) -> bool:
        token = self._peek()
        if token is None or token.kind != "mark" or token.text != mark:
            return False
        self._at += 1
        return True


def unquoted(text: str) -> str:
    """Return the value of a Go string or character literal."""
    if text.startswith("`"):
        return text[1:-1]

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPED.get(code, code)

    return _ESCAPE.sub(replace, text[1:-1])


def _number(text: str) -> int | float:
    if "x" in text:
        return int(text, 16)
    return float(text) if any(mark in text for mark in ".eE") else int(text)
