"""Links, addresses, namespaces and the firewall: the network's side of the kernel."""
