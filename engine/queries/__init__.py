"""Answer questions about the engine's state and history; nothing here changes anything."""
