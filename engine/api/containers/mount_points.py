"""Convert mounts to the JSON of inspect."""

from engine.api.containers.spec.mounts import shortest
from engine.api.http.json_bodies import Json
from engine.domain.container.mounts import AskedBy, Bind, ReadOnlyBelow, Tmpfs
from engine.domain.container.spec import Spec


def mounts_asked_json(spec: Spec) -> Json:
    """Return the fields of ``HostConfig`` that request mounts, as they were requested. Docker omits
    some of them when they are empty.
    """
    mounts = [
        *(_bind_json(bind) for bind in spec.binds if bind.asked_by is AskedBy.MOUNTS),
        *(_tmpfs_json(each) for each in spec.tmpfs if each.asked_by is AskedBy.MOUNTS),
    ]
    paths = {
        each.destination: each.options for each in spec.tmpfs if each.asked_by is AskedBy.PATHS
    }
    return {
        "Binds": [_text(bind) for bind in spec.binds if bind.asked_by is AskedBy.PATHS] or None,
        "VolumesFrom": spec.volumes_from or None,
        "VolumeDriver": spec.volume_driver,
        **({"Mounts": mounts} if mounts else {}),
        **({"Tmpfs": paths} if paths else {}),
    }


def _text(bind: Bind) -> str:
    return ":".join((bind.source, bind.destination, *((bind.mode,) if bind.mode else ())))


def _bind_json(bind: Bind) -> Json:
    options = {
        "Propagation": bind.propagation if bind.propagation != "rprivate" else None,
        "NonRecursive": not bind.recursive,
        "CreateMountpoint": bind.create_source,
        "ReadOnlyNonRecursive": bind.read_only_below is ReadOnlyBelow.NEVER,
        "ReadOnlyForceRecursive": bind.read_only_below is ReadOnlyBelow.ALWAYS,
    }
    return _said(
        Type="bind",
        Source=bind.source,
        Target=bind.destination,
        ReadOnly=bind.read_only,
        Consistency=bind.consistency,
        BindOptions=_said(**options),
    )


def _tmpfs_json(tmpfs: Tmpfs) -> Json:
    options = _said(SizeBytes=tmpfs.size_bytes, Mode=tmpfs.mode, Options=tmpfs.more)
    return _said(
        Type="tmpfs",
        Target=tmpfs.destination,
        ReadOnly=tmpfs.read_only,
        Consistency=tmpfs.consistency,
        TmpfsOptions=options,
    )


def _said(**fields: object) -> Json:
    return {name: value for name, value in fields.items() if value}


def mount_points_json(spec: Spec) -> list[Json]:
    """Return ``Mounts`` of a container. Docker does not list what ``--tmpfs`` mounts."""
    binds = [
        {
            "Type": "bind",
            "Source": bind.source,
            "Destination": shortest(bind.destination),
            "Mode": bind.mode,
            "RW": not bind.read_only,
            "Propagation": bind.propagation,
        }
        for bind in spec.binds
    ]
    tmpfs = [
        {
            "Type": "tmpfs",
            "Source": "",
            "Destination": shortest(each.destination),
            "Mode": "",
            "RW": not each.read_only,
            "Propagation": "",
        }
        for each in spec.tmpfs
        if each.asked_by is not AskedBy.PATHS
    ]
    return [*binds, *tmpfs]
