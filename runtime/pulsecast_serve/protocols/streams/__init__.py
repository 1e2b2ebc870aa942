"""`/v1/streams/MODEL/SERIES`: a step of a series is pushed, and answered with what follows from it."""
