"""Keep the last answers to ``inspect`` until something changes, for clients that ask again."""

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from engine.api.containers.show import JsonContext, inspect_json
from engine.api.http.replies import Answer, json_answer
from engine.domain.container.state import Container
from engine.domain.ids import ContainerId, ExecId
from engine.domain.image.state import Image

KEPT_MAX: Final = 64
"""For how many containers an answer is kept: about half a megabyte."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """An answer and everything that it depends on. Values are frozen, so the same values give the
    same answer.
    """

    container: Container
    image: Image | None
    execs: Collection[ExecId]
    answer: Answer


class Inspections:
    """Answers ``inspect``, and makes each answer only once as long as nothing changes."""

    def __init__(self) -> None:
        self._kept: OrderedDict[ContainerId, _Kept] = OrderedDict()

    def answer(
        self, container: Container, context: JsonContext, execs: Collection[ExecId]
    ) -> Answer:
        """Return everything about a container but its sizes. ``context`` must have the same
        directories each time.
        """
        image = context.images.get(container.spec.image_id)
        kept = self._kept.get(container.id)
        if (
            kept is not None
            and kept.container is container
            and kept.image is image
            and kept.execs == execs
        ):
            return kept.answer
        answer = json_answer(inspect_json(container, context, execs))
        self._keep(_Kept(container, image, execs, answer))
        return answer

    def _keep(self, kept: _Kept) -> None:
        identity = kept.container.id
        self._kept[identity] = kept
        self._kept.move_to_end(identity)
        if len(self._kept) > KEPT_MAX:
            self._kept.popitem(last=False)
