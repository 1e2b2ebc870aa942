"""The server itself: who is let in, how much is read, how an answer is written, and how it stops."""
