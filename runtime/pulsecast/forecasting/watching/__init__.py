"""What a step is judged by: the level, the step itself, values that repeat themselves; and when an incident begins."""
