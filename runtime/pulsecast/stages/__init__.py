"""What all stages share: the model directory, the environment, child processes, exit codes, progress."""
