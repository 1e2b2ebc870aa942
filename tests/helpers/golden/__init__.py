"""The program that makes the golden bundle of a format that no release has written yet."""
