"""Links, addresses, namespaces and the firewall.

port.py             LinuxNetworks: the port
plans.py            what the kernel should have, computed from the state
bridge.py           bridges
macvlan_parents.py  parents of macvlan and ipvlan networks
sandbox.py          one network namespace with its links
sandbox_driver.py   all bridges and sandboxes of the instance
sandbox_looks.py    finds damaged sandboxes
hints.py            hears that a namespace has changed
host_links.py       the host's links, listed after changes
sandbox_pool.py     sandboxes prepared before they are needed
netns.py            makes and enters network namespaces
watch.py            listens to the kernel's notices of changes
firewall.py         compares the nftables table with what it should be
firewall_plan.py    what the firewall should be, computed from the state
ruleset.py          rules → nft's language
libnftables.py      binding of libnftables
redirect.py         redirects DNS queries to the resolver
host_ports.py       checks that a port of the host is free
conntrack.py        deletes tracked connections
name_plan.py        what the resolver should know, computed from the state
rtnetlink.py        requests about links, addresses and routes
link_kinds.py       requests for new links
messages.py         netlink messages; the only user of pyroute2
netlink.py          netlink sockets
"""
