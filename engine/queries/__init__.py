"""Answer questions about the engine's state and history; nothing here changes anything.

history.py       events, past states, verification
events.py        names, labels and networks that readers of events need
lookups.py       networks, images and links that containers refer to
system.py        settings, counts, the machine
usage.py         resource usage
threads.py       threads for questions, which are given up with their asker
waiting.py       waits until the log has an event
"""
