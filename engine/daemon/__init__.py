"""shipslogd: the only place that knows everything, and wires it together.

config.py   options and the TOML file      lock.py     one daemon a data root      logs.py   structlog
wiring.py   which driver answers what      network.py  the default networks        notify.py systemd
__main__.py the nursery tree:

main
├── serving        the API's listeners and requests; ends first, and lets requests finish
└── background     supervisor ─ workers ─ sweep · sandbox pool · launcher · monitors' readers · network watch · watchdog
"""
