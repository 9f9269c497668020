"""Identify processes safely, and start lean ones.

identity.py       processes by pidfd and start time; locks of monitors
end_watch.py      reports whether processes have ended
interpreter.py    starts Python from a sealed copy of the interpreter
python_choice.py  chooses the Python for launcher and monitors
"""
