"""Limits of the hub that nobody needs to set, each with its unit and reason."""

from __future__ import annotations

MAX_RESULT = 1024 * 1024  # bytes: no frame from the server is longer (PROTOCOL, "Framing")
RESULT_ROOM = 1024  # bytes of MAX_RESULT left for all that stands around messages or members
MAX_ALL_ROOMS = 100_000  # rooms at a time: about 2 KB each; one address (256 connections) makes 25,600
MAX_BLOCKS = 256  # users one user may block: the index has an entry for each
MAX_GRANTS = 256  # rooms that join tokens may open to one session: about 100 bytes each
MAX_STATE = 1024  # bytes of a presence state: typing, away, a position
MAX_LISTED = 1000  # members one PRESENCE result lists
MAX_RESUMES = 10_000  # secrets of ended sessions that still count: about 400 bytes each
RESUME_MS = 5 * 60 * 1000  # ms a secret counts after its session ended
AUDIENCE = 500  # watchers told every presence_ms, more are less often: at 4 us a send they would fill a core
PUSH_BYTES = 64 * 1024  # bytes of one PRESENCE push; a longer diff goes out in several
RETRY_MS = 1000  # ms told with a temporary refusal where nothing better is known
BUSY_RETRY_MS = 100  # ms told where the next flush will help
HEADER_BYTES = 64  # bytes of a MESSAGE besides room, user, data and opts, framing included
MAX_HELD = 64  # payloads that may wait for a CONNECT that the engine has not answered
MAX_MARKS = 100_000  # read marks that are kept, over all users and rooms: about 300 bytes each
MAX_GUEST_MARKS = 20_000  # read marks of guests, in memory only
MAX_SEEN = 100_000  # users of whom is kept when they were here last: about 300 bytes each
SEEN_MS = 60_000  # ms between two lots of them that the engine is given
LOT_MS = 1000  # ms between two lots of any kind of which more waits
MARK_MS = 1000  # ms between two lots of read marks that the engine is given
EXPIRE_MOST = 1000  # things forgotten in one tick, so that no tick is long
MISTAKES_RATE = 20.0  # a second: refused commands, and tokens shown, that are nobody's flood yet
MISTAKES = 100  # ... at once
STATE_SECONDS = 2.0  # of states that may come at once: a client that was stuck catches up
READ_COST = 1024  # bytes: what a HISTORY costs however little it finds
RECOVERY = 128 * 1024  # bytes a recovery costs until its length is known: all rooms of a client come at once
RESERVED_SHARE = 8  # the part of `read_burst` that one read may take until its length is known
MAX_READS = 2  # HISTORYs of one session that the engine is asked at a time
MAX_WAITING = 16  # ... and that wait for them
MOST_PAUSE_MS = 1000  # ms a flooder is not read from at a time: its PING waits there too
MAX_CONDUCTS = 10_000  # flooders remembered after they left, for a minute at most: about 300 bytes each
TIDY_MS = 2000  # ms between two looks for limits nobody is near any more
