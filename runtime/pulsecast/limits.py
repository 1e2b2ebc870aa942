"""How much a reader takes of what a stranger wrote. Each number is checked before anything is built from the input.

FORMAT.md has the same table under "Limits"; a test compares the two.
"""

from __future__ import annotations

# bytes
MANIFEST_BYTES = 1_000_000  # a usual one has 20 kB
JSON_BYTES = 64 << 20  # of any other JSON document, such as a result with its raw nanoseconds; read whole
SIGNATURE_BYTES = 4096
KEY_BYTES = 4096
FILE_BYTES = 1 << 30  # a file is read whole; no recurrent forecaster needs 1 GiB
ARCHIVE_BYTES = 2 * FILE_BYTES  # with it no offset needs zip64
PATH_BYTES = 240
NPZ_BYTES = 1 << 30
NPZ_SMALL_BYTES = 64 << 20
MESSAGE_BYTES = 2000

# ratios
INFLATION = 100  # above it the writer stores
NPZ_INFLATION = 20  # numbers that were measured or trained hardly shrink

# depths
JSON_DEPTH = 64  # far from where Python's parser runs out of stack
PATH_PARTS = 16

# characters of a printable text
TEXT_CHARACTERS = 500

# counts
MEMBERS = 1000
FILES = MEMBERS - 2  # beside the manifest and its signature
ENTRIES = 16_000  # what is seen of a folder; all beyond FILES is refused later, by name
ARTIFACTS = 100
LIBRARIES = 100
FEATURES = 1000
CHANNELS = 4000
LAYERS = 64
WAVES = 64  # of a linear path, and the multiples of one
GRAPH_LAYERS = 256
GRAPH_SETTINGS = 32
UNITS = 65_536
HOLIDAY_SPANS = 10_000
LEVELS = 100
FORECASTS = 100
VERSIONS = 200
COMMANDS = 100
COMMAND_WORDS = 1000
NPZ_ARRAYS = 1000
GOLDEN_WINDOWS = 200_000  # of which every series has one
SERIES = 100_000
STREAMS = 100_000  # unless whoever runs the streams says another number
STEP_EVENTS = 100_000  # with an id, of 16 bytes each: a state is read and written with every event
PROBLEMS = 20

# steps, and values of one window
WINDOW_STEPS = 100_000
GAP_STEPS = 100_000  # said at once, after events that come so much later
HORIZON_STEPS = 10_000
WINDOW_VALUES = 4_000_000

# seconds
SECONDS = 2**31 - 1  # of a step or period: products of two fit the integers of every reader
