"""Networks: state, events, subnets and addresses.

state.py      a network and its events
decisions.py  define and remove
addresses.py  free subnets and addresses
macvlan.py    macvlan and ipvlan networks
"""
