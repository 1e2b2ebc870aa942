"""Raw events to steps: each like or share is counted in its step, and a step is said once it is complete."""
