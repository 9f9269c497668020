"""The daemon's side of the resolver: what containers are called, and which sandboxes may ask."""
