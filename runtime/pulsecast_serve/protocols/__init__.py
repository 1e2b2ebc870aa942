"""What a request of each protocol says, and how it is answered; all lead to the same `Forecaster`."""
