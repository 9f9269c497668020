"""Start the resolver process and send it the names of containers.

client.py   keeps the resolver running and up to date
process.py  finds or starts the process
records.py  what is sent to it
"""
