"""Programs that measure the native engine: its limits, precisions, instructions, bytes on a microcontroller."""
