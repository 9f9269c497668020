"""List where the engine's description of its API may differ from Docker's document: a few rules,
each with its reason.

A line of the comparison is ``SIGN METHOD /path [part]: kind``; see compare.py. Variable parts of
paths are ``{}`` there.
"""

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Known:
    """Lines of the comparison that one reason explains."""

    pattern: str
    """A regular expression that matches the beginning of a line."""
    why: str

    def covers(self, line: str) -> bool:
        """True if it explains a line."""
        return re.match(self.pattern, line) is not None


KNOWN: Final = (
    Known(r"[-+] \w+ /(swarm|services|tasks|nodes|secrets|configs)\b", "swarm: this engine is in none and answers 503, or 501 to who begins or joins one"),
    Known(r"[-+] \w+ /plugins\b", "plugins: there are none, so answers say only that"),
    Known(r"[-+~] \w+ /volumes\b", "volumes: there are none yet"),
    Known(r"- GET /(containers/json|containers/\{\}/json|system/df) 200 (Containers\.)?(\[\]\.)?Mounts\.\[\]\.(Driver|Name)", "volumes: there are none yet"),
    Known(r"- GET /system/df 200 (Volumes|BuildCache)\.\[\]", "volumes and builds: there are none yet"),
    Known(r"[-+~] POST /(build|session|grpc)\b", "building: not supported yet"),
    Known(r"- (GET /distribution/|GET /images/search|POST /images/(\{\}/push|create header)|POST /auth 204)", "registries: pull, push and search are not supported yet; a login always reports its result"),
    Known(r"\+ \w+ /\S+ (400|501|503): status", "any path may refuse a malformed request, what is not supported yet, and all changes while the log can't be written"),
    Known(r"\+ (\w+) (/shipslog/|/openapi\.json)|\+ GET /events \?after_seq", "ours: the log, resuming events, and this description"),
    Known(r"- GET /containers/json 200 \[\]\.Health|- GET /containers/\{\}/json 200 Storage|- GET /containers/\{\}/stats 200 os_type|- GET /images/json \?identity", "since 1.52 or later; this engine speaks up to 1.51"),
    Known(r"- GET /networks/\{\} 200 (Status|Services)", "of swarms, or since 1.52"),
    Known(r"- GET /images/\{\}/(attestations|json 200 Identity)|- GET /info 200 NRI|- GET /system/df (\?verbose|200 \w+Usage)|~ GET /images/\{\}/json \?platform", "since 1.52 or later; this engine speaks up to 1.51"),
    Known(r"\+ GET /containers/\{\}/json 200 (Config\.MacAddress|NetworkSettings\.\w+:)|\+ POST /(commit|containers/create) body MacAddress", "gone since 1.52, and part of what clients of up to 1.51 read or send"),
    Known(r"\+ GET /(system/df 200|info 200 KernelMemoryTCP)|\+ POST /\S+ body (HostConfig\.)?KernelMemoryTCP|\+ GET /images/\{\}/json 200 (DockerVersion|Parent):", "gone since 1.52, and part of what clients of up to 1.51 read or send"),
    Known(r"\+ GET /images/(json|\{\}/json) 200 (\[\]\.)?(VirtualSize|Container|ContainerConfig|Config\.\w+):", "gone before 1.51, and sent to older clients only"),
    Known(r"\+ GET /info 200 (BridgeNf\w+|KernelMemory|\w+Commit\.Expected|RegistryConfig\.Allow\w+):", "gone before 1.51, and sent to older clients only"),
    Known(r"\+ POST /\S+ body (HostConfig\.)?(KernelMemory|CheckDuplicate):", "gone before 1.51; older clients send it and are answered"),
    Known(r"\+ GET /events 200 (from|id|status):", "left out by the document; Docker sends it up to 1.51, and clients read it"),
    Known(r"\+ GET /networks 200 \[\]\.Containers", "gone since 1.52, and part of what clients of up to 1.51 read or send"),
    Known(r"\+ GET /version 200 Components\.\[\]\.Details\.", "the document leaves open what the details of a component are"),
    Known(r"\+ POST /images/(create|load) 200 (status|stream):", "the document leaves the lines of progress without a shape"),
    Known(r"\+ GET /containers/\{\}/logs \?details|\+ POST /containers/\{\}/start \?checkpoint|\+ POST /auth body identitytoken|\+ POST /exec/\{\}/start 101", "left out by the document; Docker's clients send it, or rely on it"),
    Known(r"\+ POST /networks/create body ConfigFrom\.\*|- POST /networks/create body ConfigFrom\.Network", "a network's configuration from another network is refused, whatever it is called"),
    Known(r"\+ POST /commit body (HostConfig|NetworkingConfig)", "the body is that of create, of which a commit reads what an image can have"),
    Known(r"\+ \w+ /\S+ (403|404|409|500): status", "the document forgets a refusal that Docker gives too: something named is missing, or not in a phase for this"),
    Known(r"- GET /containers/\{\}/attach/ws 200", "a WebSocket begins with 101 and with nothing else: RFC 6455 section 4.2.2"),
    Known(r"- \S+ /\S+ (200 (Containers\.|Images\.)?(\[\]\.)?(ImageManifestDescriptor|Descriptor|Manifests)|\?manifests)|- GET /info 200 Containerd", "image stores of containerd: this engine has its own, with one manifest for each image"),
    Known(r"- GET /containers/\{\}/stats 200 (memory_stats\.(commit|private)|storage_stats\.|networks\.\*\.(endpoint|instance)_id)|- GET /images/\{\}/json 200 (OsVersion|Config\.ArgsEscaped)", "Windows only"),
    Known(r"- GET /\S+ 200 (Containers\.)?(\[\]\.)?NetworkSettings\.Networks\.\*\.IPAMConfig\.LinkLocalIPs|- GET /containers/\{\}/json 200 HostConfig\.(StorageOpt|Mounts\.\[\]\.(Image|Volume)Options)", "refused at creation, so never sent"),
    Known(r"- POST /\S+ body (NetworkingConfig\.EndpointsConfig\.\*|EndpointConfig)\.(DNSNames|EndpointID|Gateway|GlobalIPv6\w+|IPAddress|IPPrefixLen|IPv6Gateway|NetworkID)", "answers have it, so clients that send an answer back mean nothing by it; Docker passes it over, too"),
    Known(r"- GET /info 200 (DiscoveredDevices|FirewallBackend\.Info|ProductLicense|RegistryConfig\.IndexConfigs|Runtimes\.\*|Swarm\.(Cluster|Managers|Nodes))|- GET /version 200 Experimental|- GET /containers/\{\}/json 200 HostConfig.KernelMemoryTCP|- GET /networks\S* 200 (\[\]\.)?Peers", "optional, and of parts that this engine doesn't have"),
    Known(r"[-~] GET /info 200 (GenericResources|Swarm\.RemoteManagers)|[-~] GET /containers/\{\}/json 200 NetworkSettings\.Secondary", "null: there are none"),
    Known(r"- GET /(containers/json|system/df) 200 (Containers\.)?\[\]\.HostConfig\.Annotations", "optional in the list, and sent by inspect"),
    Known(r"- POST /(commit|containers/create) body (ExposedPorts|Volumes)\.\*", "of these maps only the names count"),
    Known(r"\+ \w+ /images/\S+ \?platforms?:", "both spellings are read wherever one is"),
    Known(r"- POST /auth body email|\+ GET /images/\{\}/json \?platform", "Docker's engine does the same, whatever the document of a version says"),
    Known(r"- POST /containers/\{\}/update body Init", "Docker takes it and changes nothing either"),
    Known(r"~ GET /containers/\{\}/logs \?(since|until)", "a time may have a fraction, or be RFC 3339"),
    Known(r"~ \w+ /\S+ \?(platform|changes|copyUIDGID|noOverwriteDirNonDir)", "read as Docker reads it: the document has another kind for a name that may occur twice, or that is true or false"),
)  # fmt: skip
