"""Compute what an image inherits from the container that it is made of.

The container's config is the base. What the request brings along, with the instructions of
``changes`` applied to it, is laid over that; if it brings nothing, they are applied to the base.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from engine.domain.container.phases import Phase
from engine.domain.container.spec import DEFAULT_STOP_SIGNAL, Spec
from engine.domain.container.state import Container
from engine.domain.dockerfile.instructions import apply_changes
from engine.domain.image.config import ImageConfig
from engine.errors import Conflict


def check_committable(container: Container) -> None:
    """Refuse a container that is being removed: parts of it may be missing.

    Raises:
        Conflict: it is being removed.
    """
    if container.phase is Phase.DEAD:
        raise Conflict(f"You cannot commit container {container.id} which is Dead")
    if container.phase in (Phase.REMOVING, Phase.REMOVED):
        raise Conflict(f"You cannot commit container {container.id} which is being removed")


def committed_config(spec: Spec, asked: ImageConfig | None, changes: Iterable[str]) -> ImageConfig:
    """Return the config of the image.

    Args:
        spec: of the container.
        asked: what the request's body brings; None if it has none.
        changes: instructions, in order.

    Raises:
        InvalidRequest: as :func:`apply_changes`.
    """
    base = config_of(spec)
    return laid_over(base, apply_changes(base if asked is None else asked, changes))


def config_of(spec: Spec) -> ImageConfig:
    """Return what a container was made from, as an image's config."""
    is_default = spec.stop_signal == DEFAULT_STOP_SIGNAL
    return ImageConfig(
        user=spec.user,
        exposed_ports=tuple(sorted(spec.exposed_ports)),
        env=spec.env,
        cmd=spec.command,
        healthcheck=spec.healthcheck,
        volumes=spec.volumes,
        working_dir=spec.working_dir,
        entrypoint=spec.entrypoint,
        on_build=spec.on_build,
        labels=dict(spec.labels),
        stop_signal="" if is_default else spec.stop_signal,
        stop_timeout=spec.stop_timeout_s,
        shell=spec.shell,
    )


def laid_over(base: ImageConfig, above: ImageConfig) -> ImageConfig:
    """Merge two configs: lists of names are joined; of everything else the upper one counts where
    it is not empty.
    """
    names = {variable.partition("=")[0] for variable in above.env}
    rest = tuple(each for each in base.env if each.partition("=")[0] not in names)
    has_program = bool(above.entrypoint or above.cmd)
    return replace(
        above,
        user=above.user or base.user,
        exposed_ports=_joined(base.exposed_ports, above.exposed_ports),
        env=(*above.env, *rest),
        cmd=above.cmd if has_program else base.cmd,
        entrypoint=above.entrypoint or base.entrypoint,
        healthcheck=above.healthcheck or base.healthcheck,
        volumes=_joined(base.volumes, above.volumes),
        working_dir=above.working_dir or base.working_dir,
        labels=dict(sorted({**base.labels, **above.labels}.items())),
        stop_signal=above.stop_signal or base.stop_signal,
        stop_timeout=base.stop_timeout if above.stop_timeout is None else above.stop_timeout,
        shell=above.shell or base.shell,
    )


def _joined(base: tuple[str, ...], above: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({*base, *above}))
