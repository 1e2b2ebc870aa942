"""The forecast as C source: templates, their writer, and the gate on what was written."""
