"""How values become network inputs and outputs, and the options of a run."""
