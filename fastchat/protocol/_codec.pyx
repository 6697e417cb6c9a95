# cython: language_level=3
"""Check msgpack before anything decodes it, and encode what is hot: the compiled twin of `_codec_py.py`.

Invariant: what `scan` lets through, every msgpack library can decode: complete, within `Limits`, strings in
UTF-8, no container as a map key, and of the reserved exts only timestamps.
Every index below `Walk.end` is checked before it is read; what is read a second time has passed the walk.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLong
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_SET_ITEM
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp, memcpy

from ..errors import Code, ProtocolError
from . import forms as _forms, rules as _rules
from .commands import decode as _decode
from .messages import Ping as _Ping, Pong as _Pong, Publish as _Publish

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        object (*tp_alloc)(PyTypeObject*, Py_ssize_t)

    unicode PyUnicode_DecodeUTF8(const char* text, Py_ssize_t size, const char* errors)
    unicode PyUnicode_DecodeASCII(const char* text, Py_ssize_t size, const char* errors)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef enum:
    SCALAR, STR, BIN, EXT, ARRAY, MAP, NEVER  # as in forms.py; checked below
    TOP = 8
    MAX_ROOM = 64

cdef unsigned char[256] KIND, WIDE, SIZE
cdef bint[256] IS_INTEGER, IN_ROOM
cdef int MAX_DEPTH = _rules.MAX_DEPTH
cdef int MAX_KEY = _rules.MAX_KEY
cdef uint64_t MAX_ID = _rules.MAX_ID
cdef uint64_t MAX_UINT = _rules.MAX_UINT
cdef uint64_t NANOSECONDS = _forms.NANOSECONDS
cdef int TRUNCATED = _rules.TRUNCATED
cdef int TRAILING = _rules.TRAILING
cdef int TOO_DEEP = _rules.TOO_DEEP
cdef int TOO_MANY = _rules.TOO_MANY
cdef int NOT_UTF8 = _rules.NOT_UTF8
cdef int NEVER_USED = _rules.NEVER_USED
cdef int BAD_MAP_KEY = _rules.BAD_MAP_KEY
cdef int BAD_EXT = _rules.BAD_EXT
cdef int NOT_A_MESSAGE = _rules.NOT_A_MESSAGE
cdef object FAULTS = _rules.FAULTS
cdef object MALFORMED = Code.MALFORMED
cdef object Ping = _Ping
cdef object Pong = _Pong
cdef object Publish = _Publish
cdef tuple NO_MENTIONS = ()


cdef int _fill() except -1:
    """Copy the tables of forms.py, and what a room's name may hold (names.py), to C."""
    kinds = (_forms.SCALAR, _forms.STR, _forms.BIN, _forms.EXT, _forms.ARRAY, _forms.MAP, _forms.NEVER)
    if kinds != (SCALAR, STR, BIN, EXT, ARRAY, MAP, NEVER):
        raise ImportError("forms.py and _codec.pyx number the kinds differently")
    cdef int byte
    for byte in range(256):
        KIND[byte], WIDE[byte], SIZE[byte] = _forms.KIND[byte], _forms.WIDE[byte], _forms.SIZE[byte]
        IS_INTEGER[byte] = byte in _forms.INTEGERS
        IN_ROOM[byte] = byte < 128 and (chr(byte).isalnum() or chr(byte) in "._:/-")
    return 0


_fill()

cdef struct Walk:
    const unsigned char* end
    int64_t budget  # elements that may still come
    int deepest
    int fault


cdef inline uint64_t big_endian(const unsigned char* data, int wide) noexcept nogil:
    cdef uint64_t value = 0
    cdef int at
    for at in range(wide):
        value = value << 8 | data[at]
    return value


cdef inline bint is_timestamp(const unsigned char* body, uint64_t size) noexcept nogil:
    if size == 8:
        return big_endian(body, 8) >> 34 < NANOSECONDS
    if size == 12:
        return big_endian(body, 4) < NANOSECONDS
    return size == 4


cdef bint is_utf8(const unsigned char* at, const unsigned char* end) noexcept nogil:
    """Tell whether the bytes are UTF-8 in shortest form without surrogates (RFC 3629)."""
    cdef uint64_t part
    cdef unsigned char first, low, high
    cdef int more
    while at < end:
        if end - at >= 8:
            memcpy(&part, at, 8)
            if part & 0x8080808080808080ULL == 0:
                at += 8
                continue
        first = at[0]
        at += 1
        if first < 0x80:
            continue
        if first < 0xC2 or first > 0xF4:
            return False
        more = 1 if first < 0xE0 else 2 if first < 0xF0 else 3
        if end - at < more:
            return False
        low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
        high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
        if at[0] < low or at[0] > high:
            return False
        at += 1
        while more > 1:
            if at[0] & 0xC0 != 0x80:
                return False
            at += 1
            more -= 1
    return True


cdef const unsigned char* walk(
    const unsigned char* at, Walk* w, uint64_t left, bint in_map, int opened
) noexcept nogil:
    """Check `left` values that stand at `at` inside `opened` containers.

    Returns where they end, or NULL with `w.fault`. Recurses as deep as `w.deepest`, which MAX_DEPTH bounds.
    """
    cdef unsigned char first, kind
    cdef uint64_t size
    cdef int wide
    while left:
        if at >= w.end:
            w.fault = TRUNCATED
            return NULL
        first = at[0]
        kind = KIND[first]
        left -= 1
        if kind == SCALAR:
            if w.end - at < SIZE[first]:
                w.fault = TRUNCATED
                return NULL
            at += SIZE[first]
            continue
        if kind == NEVER:
            w.fault = NEVER_USED
            return NULL
        wide = WIDE[first]
        at += 1
        if w.end - at < wide:
            w.fault = TRUNCATED
            return NULL
        size = big_endian(at, wide) if wide else SIZE[first]
        at += wide
        if kind >= ARRAY:
            if in_map and left & 1:  # `left` is what follows this value: odd after a key
                w.fault = BAD_MAP_KEY
                return NULL
            if opened + 1 > w.deepest:
                w.fault = TOO_DEEP
                return NULL
            if kind == MAP:
                size *= 2
            w.budget -= <int64_t>size
            if w.budget < 0:
                w.fault = TOO_MANY
                return NULL
            at = walk(at, w, size, kind == MAP, opened + 1)
            if at is NULL:
                return NULL
            continue
        if kind == EXT:
            size += 1  # the type
        if <uint64_t>(w.end - at) < size:
            w.fault = TRUNCATED
            return NULL
        if kind == STR:
            if not is_utf8(at, at + size):
                w.fault = NOT_UTF8
                return NULL
        elif kind == EXT and at[0] >= 0x80 and (at[0] != 0xFF or not is_timestamp(at + 1, size - 1)):
            w.fault = BAD_EXT
            return NULL
        at += size
    return at


cdef int start_walk(Walk* w, const unsigned char* end, object limits) except -1:
    if not isinstance(limits, tuple) or len(<tuple>limits) != 2:
        raise TypeError("limits must be Limits")
    cdef int64_t deepest = PyLong_AsLongLong(<object>PyTuple_GET_ITEM(limits, 0))
    w.end = end
    w.deepest = <int>min(max(deepest, 0), MAX_DEPTH)
    w.budget = PyLong_AsLongLong(<object>PyTuple_GET_ITEM(limits, 1))
    w.fault = 0
    return 0


cdef object refusal(int fault):
    return ProtocolError(MALFORMED, FAULTS[fault])


def scan(bytes payload not None, limits):
    """Check that `payload` is exactly one msgpack value within `limits`.

    Raises ProtocolError MALFORMED, and nothing else, whatever the bytes.
    """
    cdef Walk w
    cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(payload)
    start_walk(&w, at + PyBytes_GET_SIZE(payload), limits)
    at = walk(at, &w, 1, False, 0)
    if at is NULL:
        raise refusal(w.fault)
    if at != w.end:
        raise refusal(TRAILING)


cdef Py_ssize_t split(bytes payload, Walk* w, const unsigned char** starts) except -1:
    """Check a whole message and that it is an array beginning with an integer.

    Fills `starts` with where its first TOP elements begin and, behind the last, where it ends (or the next
    begins); returns how many elements that are.
    """
    cdef const unsigned char* at = <const unsigned char*>PyBytes_AS_STRING(payload)
    cdef uint64_t count
    cdef uint64_t index
    cdef int wide
    if at >= w.end:
        raise refusal(TRUNCATED)
    if KIND[at[0]] != ARRAY:
        raise refusal(NOT_A_MESSAGE)
    wide = WIDE[at[0]]
    if w.end - at < 1 + wide:
        raise refusal(TRUNCATED)
    count = big_endian(at + 1, wide) if wide else SIZE[at[0]]
    at += 1 + wide
    if count == 0:
        raise refusal(NOT_A_MESSAGE)
    if w.deepest < 1:
        raise refusal(TOO_DEEP)
    w.budget -= <int64_t>count
    if w.budget < 0:
        raise refusal(TOO_MANY)
    if at == w.end:
        raise refusal(TRUNCATED)
    if not IS_INTEGER[at[0]]:
        raise refusal(NOT_A_MESSAGE)
    for index in range(min(count, <uint64_t>TOP)):
        starts[index] = at
        at = walk(at, w, 1, False, 1)
        if at is NULL:
            raise refusal(w.fault)
    starts[min(count, <uint64_t>TOP)] = at
    if count > TOP:
        at = walk(at, w, count - TOP, False, 1)
        if at is NULL:
            raise refusal(w.fault)
    if at != w.end:
        raise refusal(TRAILING)
    return <Py_ssize_t>min(count, <uint64_t>TOP)


cdef inline bint read_uint(const unsigned char* at, uint64_t most, uint64_t* value) noexcept nogil:
    """Read a checked value if it is an integer from 0 to `most` (below 2^63), in whatever form."""
    cdef unsigned char first = at[0]
    if first < 0x80:
        value[0] = first
        return True
    if first < 0xCC or first > 0xD3:
        return False
    value[0] = big_endian(at + 1, SIZE[first] - 1)
    if first >= 0xD0 and at[1] & 0x80:  # the sign of int 8 to 64
        return False
    return value[0] <= most


cdef inline const char* read_str(const unsigned char* at, Py_ssize_t* size) noexcept nogil:
    """Find the bytes of a checked value if it is a str, else NULL."""
    if KIND[at[0]] != STR:
        return NULL
    cdef int wide = WIDE[at[0]]
    size[0] = <Py_ssize_t>big_endian(at + 1, wide) if wide else SIZE[at[0]]
    return <const char*>at + 1 + wide


cdef inline bint is_room(const char* name, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t at
    if not 1 <= size <= MAX_ROOM:
        return False
    for at in range(size):
        if not IN_ROOM[<unsigned char>name[at]]:
            return False
    return True


cdef inline object made(object kind, Py_ssize_t size):
    """Make an empty NamedTuple, to be filled with `put`: its own `__new__` is a Python function."""
    return (<PyTypeObject*>kind).tp_alloc(<PyTypeObject*>kind, size)


cdef inline void put(object into, Py_ssize_t at, object value):
    Py_INCREF(value)  # PyTuple_SET_ITEM steals it
    PyTuple_SET_ITEM(into, at, value)


cdef object only_id(object kind, const unsigned char** starts, Py_ssize_t count):
    cdef uint64_t id = 0
    if count < 2 or not read_uint(starts[1], MAX_ID, &id):
        return None
    command = made(kind, 1)
    put(command, 0, id)
    return command


cdef struct PublishOpts:  # where the values stand, NULL for the default
    const unsigned char* key
    const unsigned char* echo
    const unsigned char* ephemeral
    const unsigned char* ttl_ms
    const unsigned char* reply_to
    const unsigned char* mentions


cdef bint find_opts(const unsigned char* at, Walk* w, PublishOpts* opts) noexcept nogil:
    """Find the known keys of a checked map; False if the value is no map. The last of duplicates counts."""
    cdef uint64_t count
    cdef Py_ssize_t size
    cdef const char* name
    cdef int wide
    if at[0] == 0xC0:
        return True
    if KIND[at[0]] != MAP:
        return False
    wide = WIDE[at[0]]
    count = big_endian(at + 1, wide) if wide else SIZE[at[0]]
    at += 1 + wide
    w.budget = 2 * (w.end - at) + 1  # counted already: this walk only finds where values end
    while count:
        count -= 1
        name = read_str(at, &size)
        at = walk(at, w, 1, False, 1)
        if name is not NULL:
            if size == 3 and memcmp(name, b"key", 3) == 0:
                opts.key = at
            elif size == 4 and memcmp(name, b"echo", 4) == 0:
                opts.echo = at
            elif size == 9 and memcmp(name, b"ephemeral", 9) == 0:
                opts.ephemeral = at
            elif size == 6 and memcmp(name, b"ttl_ms", 6) == 0:
                opts.ttl_ms = at
            elif size == 8 and memcmp(name, b"reply_to", 8) == 0:
                opts.reply_to = at
            elif size == 8 and memcmp(name, b"mentions", 8) == 0:
                opts.mentions = at
        at = walk(at, w, 1, False, 1)
    return True


cdef inline bint read_bool(const unsigned char* at, bint* value) noexcept nogil:
    """Read a checked value if it is true or false; nil and absence leave the default."""
    if at is NULL or at[0] == 0xC0:
        return True
    value[0] = at[0] == 0xC3
    return at[0] == 0xC3 or at[0] == 0xC2


cdef object publish(const unsigned char** starts, Py_ssize_t count, Walk* w):
    """Decode PUBLISH, or give None: then the table in commands.py decodes it, or says what is wrong."""
    cdef uint64_t id = 0
    cdef uint64_t ttl_ms = 0
    cdef uint64_t reply_to = 0
    cdef Py_ssize_t size
    cdef const char* room
    cdef const char* text
    cdef bint echo = True
    cdef bint ephemeral = False
    cdef PublishOpts opts
    cdef object key = None
    if count < 4 or not read_uint(starts[1], MAX_ID, &id):
        return None
    room = read_str(starts[2], &size)
    if room is NULL or not is_room(room, size):
        return None
    room_name = PyUnicode_DecodeASCII(room, size, NULL)
    if count > 4:
        opts.key = opts.echo = opts.ephemeral = opts.ttl_ms = opts.reply_to = opts.mentions = NULL
        if not find_opts(starts[4], w, &opts):
            return None
        if opts.mentions is not NULL and opts.mentions[0] != 0xC0:  # names are normalised in Python
            return None
        if not read_bool(opts.echo, &echo) or not read_bool(opts.ephemeral, &ephemeral):
            return None
        if opts.ttl_ms is not NULL and opts.ttl_ms[0] != 0xC0:
            if not read_uint(opts.ttl_ms, MAX_UINT, &ttl_ms):
                return None
        if opts.reply_to is not NULL and opts.reply_to[0] != 0xC0:
            if not read_uint(opts.reply_to, MAX_UINT, &reply_to):
                return None
        if opts.key is not NULL and opts.key[0] != 0xC0:
            text = read_str(opts.key, &size)
            if text is NULL:
                return None
            key = PyUnicode_DecodeUTF8(text, size, NULL)
            if not 1 <= PyUnicode_GET_LENGTH(key) <= MAX_KEY:
                return None
    command = made(Publish, 9)
    put(command, 0, id)
    put(command, 1, room_name)
    put(command, 2, PyBytes_FromStringAndSize(<const char*>starts[3], starts[4] - starts[3]))
    put(command, 3, key)
    put(command, 4, echo)
    put(command, 5, ephemeral)
    put(command, 6, ttl_ms)
    put(command, 7, reply_to)
    put(command, 8, NO_MENTIONS)
    return command


def decode_command(bytes payload not None, limits):
    """Decode what a client sent.

    Raises ProtocolError, and nothing else, whatever the bytes: MALFORMED with id 0, UNKNOWN_OPERATION with
    the id where it is readable, BAD_ARGUMENT with field and id.
    """
    cdef Walk w
    cdef const unsigned char* data = <const unsigned char*>PyBytes_AS_STRING(payload)
    cdef const unsigned char* starts[TOP + 1]
    cdef Py_ssize_t count, index
    cdef object command = None
    start_walk(&w, data + PyBytes_GET_SIZE(payload), limits)
    count = split(payload, &w, starts)
    if starts[0][0] == 4:
        command = publish(starts, count, &w)
    elif starts[0][0] == 16:
        command = only_id(Ping, starts, count)
    elif starts[0][0] == 17:
        command = only_id(Pong, starts, count)
    if command is not None:
        return command
    return _decode(payload, [starts[index] - data for index in range(count + 1)])


cdef inline Py_ssize_t put_uint(unsigned char* out, uint64_t value) noexcept nogil:
    """Write an integer in its shortest form; returns its length, 9 bytes at most."""
    cdef int wide, at
    if value < 0x80:
        out[0] = <unsigned char>value
        return 1
    wide = 1 if value < 0x100 else 2 if value < 0x10000 else 4 if value < 0x100000000ULL else 8
    out[0] = 0xCC if wide == 1 else 0xCD if wide == 2 else 0xCE if wide == 4 else 0xCF
    at = wide
    while at:
        out[at] = value & 0xFF
        value >>= 8
        at -= 1
    return wide + 1


cdef inline Py_ssize_t put_text(unsigned char* out, const char* text, Py_ssize_t size) noexcept nogil:
    memcpy(out, text, size)
    return size


def ping_result(uint64_t id, uint64_t time):
    """Encode RESULT {time} of a PING; `time` in ms."""
    cdef unsigned char[32] out
    cdef Py_ssize_t size = put_text(out, b"\x93\x40", 2)
    size += put_uint(out + size, id)
    size += put_text(out + size, b"\x81\xa4time", 6)
    size += put_uint(out + size, time)
    return PyBytes_FromStringAndSize(<const char*>out, size)


def publish_result(uint64_t id, uint64_t offset, uint64_t ts, bint duplicate=False):
    """Encode RESULT {offset, ts} of a PUBLISH, with {duplicate: true} when its key was seen; `ts` in ms."""
    cdef unsigned char[64] out
    cdef Py_ssize_t size = put_text(out, b"\x93\x40", 2)
    size += put_uint(out + size, id)
    size += put_text(out + size, b"\x83\xa6offset" if duplicate else b"\x82\xa6offset", 8)
    size += put_uint(out + size, offset)
    size += put_text(out + size, b"\xa2ts", 3)
    size += put_uint(out + size, ts)
    if duplicate:
        size += put_text(out + size, b"\xa9duplicate\xc3", 11)
    return PyBytes_FromStringAndSize(<const char*>out, size)


cdef inline unsigned char* put_bytes(unsigned char* out, bytes part) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(part)
    memcpy(out, PyBytes_AS_STRING(part), size)
    return out + size


def message(
    bytes room not None,
    uint64_t offset,
    uint64_t ts,
    bytes user not None,
    bytes data not None,
    bytes opts not None=b"\x80",
):
    """Encode MESSAGE; `room`, `user`, `data` and `opts` are msgpack already, `ts` is in ms."""
    cdef unsigned char[18] numbers
    cdef Py_ssize_t size = put_uint(numbers, offset)
    size += put_uint(numbers + size, ts)
    cdef bytes made = PyBytes_FromStringAndSize(
        NULL,
        2 + size + PyBytes_GET_SIZE(room) + PyBytes_GET_SIZE(user) + PyBytes_GET_SIZE(data)
        + PyBytes_GET_SIZE(opts),
    )
    cdef unsigned char* out = <unsigned char*>PyBytes_AS_STRING(made)
    memcpy(out, b"\x97\x42", 2)
    out = put_bytes(out + 2, room)
    memcpy(out, numbers, size)
    out = put_bytes(out + size, user)
    out = put_bytes(out, data)
    put_bytes(out, opts)
    return made


def entry(uint64_t offset, uint64_t ts, bytes user not None, bytes data not None, bytes opts not None=b"\x80"):
    """Encode one element of `messages`; `user`, `data` and `opts` are msgpack already, `ts` is in ms."""
    cdef unsigned char[18] numbers
    cdef Py_ssize_t size = put_uint(numbers, offset)
    size += put_uint(numbers + size, ts)
    cdef bytes made = PyBytes_FromStringAndSize(
        NULL, 1 + size + PyBytes_GET_SIZE(user) + PyBytes_GET_SIZE(data) + PyBytes_GET_SIZE(opts)
    )
    cdef unsigned char* out = <unsigned char*>PyBytes_AS_STRING(made)
    out[0] = 0x95
    memcpy(out + 1, numbers, size)
    out = put_bytes(out + 1 + size, user)
    out = put_bytes(out, data)
    put_bytes(out, opts)
    return made
