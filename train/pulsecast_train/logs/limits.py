"""How much of a log is read at most; what is beyond is refused in one sentence. train/README.md has the same numbers.

Each limit keeps the time linear in the file, or bounds memory; reasons are beside them.
"""

from __future__ import annotations

BLOCK_BYTES = 16 << 20  # text is read in blocks of whole rows of about this size
MAX_ROW_BYTES = 64 << 20  # a row this long means a quote that was never closed
MAX_HEADER_BYTES = 1 << 20
MAX_NAME_CHARACTERS = 1000  # of a column: names are shown in messages
MOST_COLUMNS = 4096  # of CSV, TSV, Parquet and XLSX; a million took 42 s and 1.4 GB
MOST_FIELDS = 1024  # names in the objects of a block of NDJSON: the parser's time grows with their square
MOST_CELLS = 32 << 20  # rows times columns of a block: short rows under a wide header take memory for empty cells
MAX_DEPTH = 64  # of an NDJSON object
MAX_INFLATION = 200  # how many times its own size a .gz or .zip file unpacks to, once it is over FREE_INFLATION_BYTES
FREE_INFLATION_BYTES = 256 << 20
MAX_DIRECTORY_BYTES = 1 << 20  # of a zip file's list of members; one member is read
PARQUET_ROWS = 1_000_000  # rows of one batch
