"""Keras models as users have them: those of the tables of export/README.md, and models drawn at random."""
