"""Discovery: which targets exist."""
