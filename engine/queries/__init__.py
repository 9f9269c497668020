"""Answer questions about the engine's state and history; nothing here changes anything.

    history.py       which events there were, everything as of a moment, and the audit of the log
    events.py        what an event is about, for ``/events``
    system.py        versions, settings, the machine, counts
    lookups.py       networks, images and links that containers refer to
    usage.py         samples of what containers use
    process_list.py  what runs in a container
    waiting.py       waits for something to be in the log
    threads.py       threads for questions that read much

Knows ``store``, ``domain`` and ``ports``; neither ``service`` nor any driver.
"""
