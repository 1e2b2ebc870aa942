"""What each server needs to serve a bundle: one literal table, and a file for each kind of server."""
