"""Fitting a network: epochs, checkpoints, devices, pools of series."""
