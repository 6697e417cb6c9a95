# cython: language_level=3
"""Cut frames out of a byte stream: the compiled twin of `_framing_py.py`.

Invariant: every byte fed comes out exactly once, in order, in a payload or from `take`; only what has not
been cut is held. Work is linear in the bytes fed, however they are chopped.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memmove

from .rules import PEEK as _PEEK, too_large

cdef Py_ssize_t PEEK = _PEEK
cdef bytes NOTHING = b""


def tcp_frame(bytes payload not None):
    """Put the 4-byte big-endian length before a payload (PROTOCOL, "TCP")."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    if size > 0xFFFFFFFF:
        raise OverflowError("int too big to convert")
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, size + 4)
    cdef unsigned char* out = <unsigned char*>PyBytes_AS_STRING(frame)
    put_length(out, <uint64_t>size, 4)
    memcpy(out + 4, PyBytes_AS_STRING(payload), size)
    return frame


def ws_frame(bytes payload not None, unsigned char opcode=2):
    """Make an unmasked, final WebSocket frame with the shortest length form (RFC 6455, 5.2)."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(payload)
    cdef int wide = 0 if size < 126 else 2 if size < 65536 else 8
    cdef bytes frame = PyBytes_FromStringAndSize(NULL, size + 2 + wide)
    cdef unsigned char* out = <unsigned char*>PyBytes_AS_STRING(frame)
    out[0] = 0x80 | opcode
    out[1] = <unsigned char>size if wide == 0 else 126 if wide == 2 else 127
    put_length(out + 2, <uint64_t>size, wide)
    memcpy(out + 2 + wide, PyBytes_AS_STRING(payload), size)
    return frame


cdef inline void put_length(unsigned char* out, uint64_t size, int wide) noexcept nogil:
    while wide:
        wide -= 1
        out[wide] = size & 0xFF
        size >>= 8


cdef inline uint64_t get_length(const unsigned char* data, int wide) noexcept nogil:
    cdef uint64_t size = 0
    cdef int at
    for at in range(wide):
        size = size << 8 | data[at]
    return size


cdef void unmask(const unsigned char* masked, unsigned char* out, Py_ssize_t size, const unsigned char* mask) noexcept nogil:
    """XOR with the repeated 4-byte mask (RFC 6455, 5.3), 8 bytes at a time."""
    cdef uint64_t wide_mask, part
    cdef Py_ssize_t at = 0
    memcpy(&wide_mask, mask, 4)
    memcpy(<unsigned char*>&wide_mask + 4, mask, 4)
    while size - at >= 8:
        memcpy(&part, masked + at, 8)
        part ^= wide_mask
        memcpy(out + at, &part, 8)
        at += 8
    while at < size:
        out[at] = masked[at] ^ mask[at & 3]
        at += 1


cdef class _Tail:
    """Bytes that have come and not been cut: from `_at` to `_end` of one of two places.

    `_data` is the very bytes object that was fed while nothing was held before it; otherwise `_own`, a buffer
    of ours with room for `_room` bytes. An idle connection has neither.
    """

    cdef bytes _data
    cdef unsigned char* _own
    cdef Py_ssize_t _at, _end, _room

    def __cinit__(self):
        self._data = NOTHING

    def __dealloc__(self):
        PyMem_Free(self._own)

    def __sizeof__(self):
        return object.__sizeof__(self) + self._room

    @property
    def pending(self):
        """Bytes held."""
        return self._end - self._at

    def feed(self, bytes data not None):
        """Hold what the peer has sent."""
        if self._at == self._end:
            self.drop()
            self._data = data
            self._end = PyBytes_GET_SIZE(data)
            return
        cdef Py_ssize_t held = self._end - self._at
        cdef Py_ssize_t more = PyBytes_GET_SIZE(data)
        if self._own is NULL:
            self.copy(held + more)
        elif self._end + more > self._room:
            memmove(self._own, self._own + self._at, held)
            self._at, self._end = 0, held
            if held + more > self._room:
                self.resize(2 * (held + more))  # doubling: each byte is copied a constant number of times
        memcpy(self._own + self._end, PyBytes_AS_STRING(data), more)
        self._end += more

    cdef inline const unsigned char* bytes_held(self) noexcept:
        if self._own is not NULL:
            return self._own
        return <const unsigned char*>PyBytes_AS_STRING(self._data)

    cdef void drop(self) noexcept:
        """Hold nothing."""
        PyMem_Free(self._own)
        self._own = NULL
        self._data = NOTHING
        self._at = self._end = self._room = 0

    cdef int copy(self, Py_ssize_t room) except -1:
        """Move what is held from `_data` to a buffer of our own."""
        cdef Py_ssize_t held = self._end - self._at
        cdef unsigned char* own = <unsigned char*>PyMem_Malloc(room)
        if own is NULL:
            raise MemoryError()
        memcpy(own, PyBytes_AS_STRING(self._data) + self._at, held)
        self._own, self._room = own, room
        self._at, self._end = 0, held
        self._data = NOTHING
        return 0

    cdef int resize(self, Py_ssize_t room) except -1:
        cdef unsigned char* own = <unsigned char*>PyMem_Realloc(self._own, room)
        if own is NULL:
            raise MemoryError()
        self._own, self._room = own, room
        return 0

    cdef int settle(self, Py_ssize_t at) except -1:
        """Forget what stands before `at`, at once when that is most of what is held."""
        cdef Py_ssize_t left = self._end - at
        if left == 0:
            self.drop()
            return 0
        self._at = at
        if at <= left:  # halving what is held pays for the copy
            return 0
        if self._own is NULL:
            return self.copy(left)
        memmove(self._own, self._own + at, left)
        self._at, self._end = 0, left
        return self.resize(left)


cdef class TcpFramer(_Tail):
    """Cut the length-prefixed frames of one TCP connection."""

    def cut(self, Py_ssize_t limit, Py_ssize_t most=0):
        """Take the complete payloads that stand first, at most `most` of them (0: all).

        Raises FrameError TOO_LARGE when the first frame's length, of which 4 bytes are enough, is over
        `limit` bytes; frames before it have been returned by an earlier call.
        """
        cdef const unsigned char* data = self.bytes_held()
        cdef Py_ssize_t at = self._at
        cdef Py_ssize_t end = self._end
        cdef Py_ssize_t size
        cdef Py_ssize_t count = 0
        cdef list payloads = []
        while end - at >= 4:
            size = <Py_ssize_t>get_length(data + at, 4)
            if size > limit:
                if count == 0:
                    raise too_large(size, limit)
                break
            if end - at - 4 < size:
                break
            payloads.append(PyBytes_FromStringAndSize(<const char*>data + at + 4, size))
            at += 4 + size
            count += 1
            if count == most:
                break
        if at != self._at:
            self.settle(at)
        return payloads

    def peek(self):
        """Look at the first bytes of the waiting frame's payload, up to 16 and to its end."""
        cdef const unsigned char* data = self.bytes_held() + self._at
        cdef Py_ssize_t there = self._end - self._at - 4
        if there < 0:
            return NOTHING
        return PyBytes_FromStringAndSize(
            <const char*>data + 4, min(there, <Py_ssize_t>get_length(data, 4), PEEK)
        )


cdef class WsCutter(_Tail):
    """Cut the ordinary frames of one WebSocket: final, masked, of one opcode, shortest length form.

    Whatever else stands first is `unusual` and goes, through `take`, to a full RFC 6455 parser.
    """

    cdef unsigned char _first

    def __init__(self, unsigned char opcode):
        self._first = 0x80 | opcode

    cdef int header(self, Py_ssize_t at, uint64_t* size) noexcept:
        """Read the header at `at`: bytes of header with the mask, and in `size` bytes of payload.

        0 when more bytes are needed to tell, -1 when the frame is unusual.
        """
        cdef const unsigned char* data = self.bytes_held() + at
        cdef Py_ssize_t there = self._end - at
        cdef int wide
        if there == 0:
            return 0
        if data[0] != self._first:
            return -1
        if there < 2:
            return 0
        if data[1] < 0x80:  # clients must mask (RFC 6455, 5.1)
            return -1
        size[0] = data[1] & 0x7F
        if size[0] < 126:
            return 6
        wide = 2 if size[0] == 126 else 8
        if there < 2 + wide:
            return 0
        size[0] = get_length(data + 2, wide)
        if size[0] < (126 if wide == 2 else 65536):
            return -1
        return 6 + wide

    def cut(self, Py_ssize_t limit, Py_ssize_t most=0):
        """Take the complete payloads that stand first, unmasked, at most `most` of them (0: all).

        Stops before an unusual frame. Raises FrameError TOO_LARGE as `TcpFramer.cut` does, as soon as the
        frame's length is there.
        """
        cdef const unsigned char* data = self.bytes_held()
        cdef Py_ssize_t at = self._at
        cdef Py_ssize_t count = 0
        cdef Py_ssize_t start
        cdef uint64_t size
        cdef int head
        cdef bytes payload
        cdef list payloads = []
        while True:
            head = self.header(at, &size)
            if head <= 0:
                break
            if limit < 0 or size > <uint64_t>limit:
                if count == 0:
                    raise too_large(size, limit)
                break
            start = at + head
            if self._end - start < <Py_ssize_t>size:
                break
            payload = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
            unmask(data + start, <unsigned char*>PyBytes_AS_STRING(payload), <Py_ssize_t>size, data + start - 4)
            payloads.append(payload)
            at = start + <Py_ssize_t>size
            count += 1
            if count == most:
                break
        if at != self._at:
            self.settle(at)
        return payloads

    def unusual(self):
        """Tell whether what stands first is not for `cut`; while that cannot be told yet, it is not."""
        cdef uint64_t size
        return self.header(self._at, &size) < 0

    def peek(self):
        """Look at the first bytes of the waiting frame's payload, unmasked, up to 16 and to its end."""
        cdef uint64_t size
        cdef int head = self.header(self._at, &size)
        cdef Py_ssize_t there = self._end - self._at - head
        if head <= 0 or there < 0:
            return NOTHING
        if size < <uint64_t>there:
            there = <Py_ssize_t>size
        there = min(there, PEEK)
        cdef bytes seen = PyBytes_FromStringAndSize(NULL, there)
        cdef const unsigned char* start = self.bytes_held() + self._at + head
        unmask(start, <unsigned char*>PyBytes_AS_STRING(seen), there, start - 4)
        return seen

    def take(self):
        """Hand over everything held, as it came."""
        cdef bytes held
        if self._own is NULL and self._at == 0:
            held = self._data
        else:
            held = PyBytes_FromStringAndSize(<const char*>self.bytes_held() + self._at, self._end - self._at)
        self.drop()
        return held
