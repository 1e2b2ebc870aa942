"""The stated schema of what comes in and what goes out."""
