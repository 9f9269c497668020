"""List where a session may differ from that with the reference engine, Docker 20.10 with API 1.41;
each with its reason.
"""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.conformance.session_recorder import Step

OLD: Final = "the reference is older than the document; later versions of Docker say what we say"


@dataclass(frozen=True, slots=True)
class Allowed:
    """Lines of a step's outcome that only one side has."""

    step: str
    line: str
    why: str

    def covers(self, step: Step, line: str) -> bool:
        return bool(re.search(self.step, step.what) and re.search(self.line, line))


ALLOWED: Final = (
    Allowed("/json", r"^/Config/(Env|StopSignal) ", "an empty list for none; the signal by which it is stopped, also when none was chosen"),
    Allowed("/json", r"^/HostConfig/KernelMemory(TCP)? ", OLD),
    Allowed("/json|/networks", r"/(DNSNames|GwPriority|EnableIPv4)\b", OLD),
    Allowed("/images/.*/json", r"^/(Config/|ContainerConfig|Container |VirtualSize )", OLD),
    Allowed("/images/.*/json", r"^/GraphDriver/Data/(MergedDir|WorkDir) ", "an image is not mounted here, so there are no such directories"),
    Allowed("/images/json|/system/df", r"/(RepoDigests|VirtualSize|BuilderSize|BuildCache) ", OLD),
    Allowed("/info", r"^/(CDISpecDirs|DefaultAddressPools|FirewallBackend|BridgeNf\w+|KernelMemory|\w+Commit/Expected|RegistryConfig/Allow\w+)\b", OLD),
    Allowed("/info", r"^/(Runtimes|RegistryConfig/IndexConfigs|Plugins/Volume)/", "what an engine is made of: ours has other parts"),
    Allowed("/stats", r"^/blkio_stats/io_serv", "what a disk is asked depends on what is in memory already"),
    Allowed("/version", r"^/Components/", "what an engine is made of: ours has other parts"),
    Allowed("/json", r"/Networks/\w+/Aliases\b", OLD),
    Allowed("/json", r"/Networks/\w+/(DriverOpts|IPAMConfig) (object|null)", "an empty choice is shown as none"),
    Allowed("events of network", r"^disconnect ", "Docker reports it twice when the container runs"),
    Allowed("/networks/create", "overlaps with other one", OLD),
    Allowed("network rm back|DELETE /networks/one", r"has active endpoints", OLD),
    Allowed("port aa|name=aa", r"\[::\]:81|^out ADDRESS:8101", "a caller by IPv6 reaches a container of IPv4 alone through Docker's proxy process; here there is none"),
    Allowed("/networks", r"/IPAM/Config/\*/Gateway ", "Docker reports it once it has been started again"),
    Allowed("/images/nosuch|rmi|--type image", r"(?i)no such image: nosuch", OLD),
    Allowed("/images/busybox/tag|/containers/create", r"repository name (\(library/BAD\) )?must be lowercase", OLD),
    Allowed("status=odd|filters", r"(?i)invalid filter", OLD),
    Allowed("events of image", r"^import ", "an image is in the log before its name is; Docker reports it the other way round"),
    Allowed("/containers/create", r"(?i)invalid restart policy|content-type", OLD),
    Allowed("/v(1.10|9.99)/", r"client version", "each names the versions that it speaks"),
)  # fmt: skip


def differences(ours: Iterable[Step], theirs: Iterable[Step]) -> Iterator[str]:
    """Return the differences that are not allowed: ``+`` only with us, ``-`` only with the
    reference.
    """
    for mine, other in zip(ours, theirs, strict=True):
        if mine.what != other.what:
            yield f"{mine.what}: with the reference it was {other.what}"
            continue
        for line in difflib.ndiff(other.outcome, mine.outcome):
            if line[0] in "+-" and not any(each.covers(mine, line[2:]) for each in ALLOWED):
                yield f"{mine.what}: {line}"
