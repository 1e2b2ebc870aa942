"""The benchmark on another machine: packed as one program, unpacked there, sent over ssh."""
