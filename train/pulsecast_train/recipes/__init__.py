"""How values become network inputs and outputs, and what a run can be told."""
