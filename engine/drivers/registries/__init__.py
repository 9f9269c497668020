"""Talk to image registries.

port.py   LinuxRegistries: the port
http.py   one HTTP request
login.py  log in
"""
