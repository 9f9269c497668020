"""Build the OCI process object of an exec (runtime-spec, config.md, "Process")."""

from engine.capability_names import ALL_CAPABILITIES
from engine.domain.container import oci
from engine.domain.container.oci import Json
from engine.domain.container.spec import merged_env
from engine.domain.container.state import Container
from engine.domain.exec.state import ExecSpec


def exec_process(container: Container, asked: ExecSpec, linked_env: tuple[str, ...] = ()) -> Json:
    """Return the process object of an exec: that of the container, with what was asked for."""
    spec = container.spec
    process = oci.process_of(spec)
    terminal = ("TERM=xterm",) if asked.tty else ()
    return {
        **process,
        "terminal": asked.tty,
        "consoleSize": oci.console_size(asked.console_size),
        "args": list(asked.arguments),
        "env": list(
            merged_env(oci.default_env(spec, tty=False), terminal, linked_env, spec.env, asked.env)
        ),
        "cwd": asked.working_dir or spec.working_dir or "/",
        "user": oci.user_of(asked.user or spec.user, () if asked.user else spec.group_add),
        "capabilities": oci.capability_sets(ALL_CAPABILITIES)
        if asked.privileged
        else process["capabilities"],
    }
