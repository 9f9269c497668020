"""Test ``docker import --change``: the results of Docker 20.10 for the same instructions, and its
refusals.
"""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.dockerfile.instructions import CHARACTERS_MAX, apply_changes
from engine.domain.dockerfile.words import expand, split_words
from engine.domain.image.config import Healthcheck, ImageConfig
from engine.errors import InvalidRequest


def changed(*changes: str) -> ImageConfig:
    return apply_changes(ImageConfig(), changes)


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        (['CMD ["sh"]'], ImageConfig(cmd=("sh",))),
        (["CMD echo $HOME"], ImageConfig(cmd=("/bin/sh", "-c", "echo $HOME"))),
        (["CMD [bad"], ImageConfig(cmd=("/bin/sh", "-c", "[bad"))),
        (["CMD"], ImageConfig()),
        (["ENTRYPOINT foo bar"], ImageConfig(entrypoint=("/bin/sh", "-c", "foo bar"))),
        (["ENTRYPOINT []"], ImageConfig()),
        (['ENV A=b C="d e"'], ImageConfig(env=("A=b", "C=d e"))),
        (["ENV A b c"], ImageConfig(env=("A=b c",))),
        (["ENV A=1", "env B=$A-${A}-${X:-y}-${A:+z} A=2"], ImageConfig(env=("A=2", "B=1-1-y-z"))),
        (["ENV A='$B' C=\\$D"], ImageConfig(env=("A=$B", "C=$D"))),
        (["EXPOSE 80 81/udp 90-92"],
         ImageConfig(exposed_ports=("80/tcp", "81/udp", "90/tcp", "91/tcp", "92/tcp"))),
        (["EXPOSE 127.0.0.1:8080:80"], ImageConfig(exposed_ports=("80/tcp",))),
        (['LABEL x=y "a b"="c d"'], ImageConfig(labels={"x": "y", "a b": "c d"})),
        (["VOLUME /data /b"], ImageConfig(volumes=("/b", "/data"))),
        (['VOLUME ["/a b"]'], ImageConfig(volumes=("/a b",))),
        (["WORKDIR /a", "WORKDIR b"], ImageConfig(working_dir="/a/b")),
        (["WORKDIR a/../.."], ImageConfig(working_dir="/")),
        (["USER nobody"], ImageConfig(user="nobody")),
        (["STOPSIGNAL SIGINT"], ImageConfig(stop_signal="SIGINT")),
        (["ONBUILD RUN x"], ImageConfig(on_build=("RUN x",))),
        (["HEALTHCHECK NONE"], ImageConfig(healthcheck=Healthcheck(test=("NONE",)))),
        (["HEALTHCHECK --interval=5s --timeout=1m30s --retries=3 CMD true"],
         ImageConfig(healthcheck=Healthcheck(test=("CMD-SHELL", "true"), interval=5 * 10**9,
                                             timeout=90 * 10**9, retries=3))),
        (['HEALTHCHECK CMD ["a","b"]'], ImageConfig(healthcheck=Healthcheck(test=("CMD", "a", "b")))),
        (["# nothing", "", "USER a\\\n b"], ImageConfig(user="a b")),
    ],
)  # fmt: skip
def test_instructions_change_the_config(changes: list[str], config: ImageConfig) -> None:
    assert changed(*changes) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("FOO x", "foo is not a valid change command"),
        ("RUN x", "run is not a valid change command"),
        ("FROM x", "from is not a valid change command"),
        ("ENV A", "ENV must have two arguments"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV A=b C", 'Syntax error - can\'t find = in "C". Must be of the form: name=value'),
        ("ENV =b", "ENV names can not be blank"),
        ('ENV A="un',
         r'failed to process "\"un": unexpected end of statement while looking for matching double-quote'),
        ("LABEL a", "LABEL must have two arguments"),
        ("EXPOSE abc", "Invalid containerPort: abc"),
        ("EXPOSE 70000", "Invalid containerPort: 70000"),
        ("EXPOSE 92-90", "Invalid containerPort: 92-90"),
        ("EXPOSE 80/foo", "Invalid proto: foo"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("STOPSIGNAL nope", "invalid signal: nope"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ('CMD ["a", 1]', "when using JSON array syntax, arrays must be comprised of strings only"),
        ("HEALTHCHECK FOO", 'Unknown type "FOO" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK --interval=x CMD a", 'time: invalid duration "x"'),
    ],
)  # fmt: skip
def test_refusals_are_in_dockers_words(change: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        changed(change)

    assert str(refusal.value) == message


@given(st.text(), st.dictionaries(st.text(), st.text()))
def test_any_instruction_is_parsed_or_refused(line: str, environment: dict[str, str]) -> None:
    with suppress(InvalidRequest):
        for word in split_words(line):
            expand(word, environment)
        changed(f"ENV {line}", f"LABEL {line}", f"EXPOSE {line}")


@pytest.mark.parametrize(
    "changes",
    [
        ["ENV A=0123456789", *["ENV A=$A$A"] * 40],
        ["ENV A=" + "x" * 1000, "LABEL l=" + "$A" * (CHARACTERS_MAX // 1000)],
        ["ENV A=" + "x" * 1000, *(f"LABEL {n}=$A" for n in range(CHARACTERS_MAX // 1000))],
        ["LABEL a=" + "x" * CHARACTERS_MAX],
    ],
    ids=["doubled", "one line", "many lines", "without variables"],
)
def test_variables_can_not_multiply_without_end(changes: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="the changes lead to more than"):
        changed(*changes)


def test_a_path_with_a_hundred_more_directories_is_accepted() -> None:
    config = changed("ENV PATH=/bin", *(f"ENV PATH=$PATH:/opt/{n}" for n in range(100)))

    assert len(config.env[0].split(":")) == 101
