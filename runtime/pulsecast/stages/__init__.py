"""What all stages share: the model directory between them, where they run, their children, how they end."""
