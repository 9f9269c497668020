"""Effects: the supervisor's actions and looks, performed by the drivers.

performers.py   Action → performer, one row each
processes.py    launches, execs, signals, kills
observer.py     one look at one container
inventory.py    all objects of the engine's own; orphans are discarded
journals.py     what monitors have written down, and waiting for more of it
"""
