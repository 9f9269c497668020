"""Evaluate a template's tree on data."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from engine.cli.failures import Failure
from engine.cli.template import syntax
from engine.cli.template.functions import FUNCTIONS, SHORT_CIRCUIT
from engine.cli.template.values import Fields, field, nested, shown, truth

_EXIT_BAD_TEMPLATE: Final = 64
_NOTHING: Final = object()


class _LoopExit(Exception):
    """``break`` or ``continue`` on its way to the enclosing ``range``."""

    def __init__(self, keyword: str) -> None:
        super().__init__(keyword)
        self.keyword = keyword


class Template:
    """A parsed ``--format``."""

    def __init__(
        self, source: str, functions: Mapping[str, Callable[..., Any]] = FUNCTIONS
    ) -> None:
        """Parse a template.

        Raises:
            Failure: it is not a template; exit code 64 as Docker's.
        """
        self._functions = functions
        try:
            self._nodes = syntax.parse(source)
            self._check_names(self._nodes)
        except syntax.TemplateError as error:
            message = f"template parsing error: template: :1: {error}"
            raise Failure(message, _EXIT_BAD_TEMPLATE) from None

    def render(self, data: object) -> str:
        """Return the text for one value.

        Raises:
            LookupError: a field, key or index does not exist; with Go's message.
        """
        pieces: list[str] = []
        self._run(self._nodes, data, {"": data}, pieces)
        return "".join(pieces)

    def _run(
        self,
        nodes: tuple[syntax.Node, ...],
        dot: object,
        variables: dict[str, Any],
        pieces: list[str],
    ) -> None:
        for node in nodes:
            match node:
                case syntax.Text(text):
                    pieces.append(text)
                case syntax.Show(pipeline):
                    value = self._pipeline(pipeline, dot, variables)
                    if not pipeline.names:
                        pieces.append(shown(value))
                case syntax.Leave(keyword):
                    raise _LoopExit(keyword)
                case syntax.Branch("range"):
                    self._range(node, dot, variables, pieces)
                case syntax.Branch():
                    self._choose(node, dot, variables, pieces)

    def _choose(
        self, branch: syntax.Branch, dot: object, variables: dict[str, Any], pieces: list[str]
    ) -> None:
        inner = dict(variables)
        value = self._pipeline(branch.pipeline, dot, inner)
        if not truth(value):
            self._run(branch.otherwise, dot, inner, pieces)
        else:
            self._run(branch.body, value if branch.keyword == "with" else dot, inner, pieces)

    def _range(
        self, branch: syntax.Branch, dot: object, variables: dict[str, Any], pieces: list[str]
    ) -> None:
        names = branch.pipeline.names
        over = self._pipeline(branch.pipeline._replace(names=()), dot, variables)
        pairs = list(_pairs(over))
        if not pairs:
            self._run(branch.otherwise, dot, variables, pieces)
        for key, value in pairs:
            inner = dict(variables)
            if len(names) == 2:
                inner[names[0]], inner[names[1]] = key, value
            elif names:
                inner[names[0]] = value
            try:
                self._run(branch.body, value, inner, pieces)
            except _LoopExit as exit_:
                if exit_.keyword == "break":
                    return

    def _pipeline(
        self, pipeline: syntax.Pipeline, dot: object, variables: dict[str, Any]
    ) -> Any:  # Any: template data is whatever JSON holds
        value: Any = _NOTHING
        for command in pipeline.commands:
            value = self._command(command, dot, variables, value)
        for name in pipeline.names:
            variables[name] = value
        return value

    def _command(
        self, command: syntax.Command, dot: object, variables: dict[str, Any], piped: Any
    ) -> Any:
        first, *others = command.operands
        if isinstance(first, syntax.Call) and first.name in SHORT_CIRCUIT:
            return self._short_circuit(first.name, others, dot, variables, piped)
        arguments = [self._operand(operand, dot, variables) for operand in others]
        if piped is not _NOTHING:
            arguments.append(piped)
        if isinstance(first, syntax.Call):
            return self._call(first.name, arguments)
        value = self._operand(first, dot, variables)
        if callable(value):
            return value(*arguments)
        if arguments:
            raise LookupError("can't give argument to non-function")
        return value

    def _call(self, name: str, arguments: list[Any]) -> Any:
        try:
            return self._functions[name](*arguments)
        except (TypeError, AttributeError) as error:
            raise LookupError(f"error calling {name}: {error}") from error

    def _short_circuit(
        self,
        name: str,
        operands: list[syntax.Operand],
        dot: object,
        variables: dict[str, Any],
        piped: Any,
    ) -> Any:
        value: Any = None
        for operand in operands:
            value = self._operand(operand, dot, variables)
            if truth(value) == (name == "or"):
                return value
        return value if piped is _NOTHING else piped

    def _operand(self, operand: syntax.Operand, dot: object, variables: dict[str, Any]) -> Any:
        match operand:
            case syntax.Literal(value):
                return value
            case syntax.Dot():
                return dot
            case syntax.Variable(name):
                if name not in variables:
                    raise LookupError(f'undefined variable "${name}"')
                return variables[name]
            case syntax.Call(name):
                return self._call(name, [])
            case syntax.Pipeline():
                return self._pipeline(operand, dot, variables)
            case syntax.Chain():
                return self._chain(operand, dot, variables)

    def _chain(self, chain: syntax.Chain, dot: object, variables: dict[str, Any]) -> Any:
        value = self._operand(chain.start, dot, variables)
        for name in chain.fields:
            try:
                value = field(value, name)
            except LookupError as error:
                where = f'template: :1:{chain.column}: executing "" at <{chain.source}>'
                raise LookupError(f"{where}: {error.args[0]}") from None
        return value

    def _check_names(self, nodes: tuple[syntax.Node, ...]) -> None:
        for name in _called(nodes):
            if name not in self._functions and name not in SHORT_CIRCUIT:
                raise syntax.TemplateError(f'function "{name}" not defined')


def _called(tree: object) -> Iterator[str]:
    """Yield the names of all functions in a tree."""
    if isinstance(tree, syntax.Call):
        yield tree.name
    elif isinstance(tree, tuple) and not isinstance(tree, syntax.Text | syntax.Literal):
        for branch in tree:
            yield from _called(branch)


def _pairs(over: object) -> Iterator[tuple[object, object]]:
    match over:
        case dict():
            yield from ((key, over[key]) for key in sorted(over))
        case list():
            yield from enumerate(over)
        case int() if not isinstance(over, bool):
            yield from ((number, number) for number in range(over))
        case None:
            return
        case Fields() | _:
            raise LookupError(f"range can't iterate over {nested(over)}")
