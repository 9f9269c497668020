"""Images: state, events, configs and references."""
