"""Who asks, and why."""
