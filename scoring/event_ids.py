"""
This file holds the kernels of a user's remembered event ids: those of his newest events, in the order of applying.

They lie in one block of the pool, a ring of IDS_CAP places, a multiple of four:

    head     1 word: the place of the first id, and from bit 32 on a time that none is older than
    tags     16 bits of each hash, four a word: nearly every id is new, and these tell so in few bytes
    hashes   a word each
    times    32 bits each, two a word, in units of 2 ** ID_TIME_BITS ms
"""

import numpy as np

from scoring.borrowing import borrowing, inlined
from scoring.lookup import limit
from scoring.memory import allocate, class_words, copy_words, release, size_class
from scoring.prefetch import prefetch
from scoring.row import ID_TIME_BITS, IDS_AT, IDS_CAP, IDS_COUNT, LINE_WORDS, NEWEST
from scoring.state import C_IDS_EVICTED
from scoring.tables import M_IDS, M_LATENESS

TAGS_PER_WORD, TIMES_PER_WORD = 4, 2
WORDS_OF_FOUR = 1 + 4 + 2  # Their tags, hashes and times.
TAG_BITS, TIME_BITS = 16, 32
TAG_MASK, TIME_MASK = (1 << TAG_BITS) - 1, (1 << TIME_BITS) - 1
LOW_OF_EACH, HIGH_OF_EACH = np.uint64(0x0001000100010001), np.uint64(0x8000800080008000)
TAG_LINES_MAX, LINES_MAX = 8, 16  # The CPU goes on by itself with what is read in a row.


@inlined
def words_for(count):
    """Answer how many words so many ids take."""
    return 1 + WORDS_OF_FOUR * ((count + TAGS_PER_WORD - 1) // TAGS_PER_WORD)


@inlined
def capacity_of(words):
    """Answer how many ids a block of so many words takes."""
    return TAGS_PER_WORD * ((words - 1) // WORDS_OF_FOUR)


@inlined
def id_time(time_ms):
    """Answer a time as ids are remembered by it, a little over a minute a unit; up, so that none is forgotten early."""
    return -(-time_ms >> ID_TIME_BITS)


@inlined
def first_of(pool, block):
    """Answer the place of the id that was applied first."""
    return pool[block] & TIME_MASK


@inlined
def oldest_of(pool, block):
    """Answer a time that no id is older than."""
    return (pool[block] >> TIME_BITS) & TIME_MASK


@inlined
def set_head(pool, block, first, oldest):
    """Write the head of a block."""
    pool[block] = first | oldest << TIME_BITS


@inlined
def place_of(pool, row, entry):
    """Answer the place of the n-th id."""
    place = first_of(pool, row[IDS_AT]) + entry
    return place - row[IDS_CAP] if place >= row[IDS_CAP] else place


@inlined
def hashes_of(row):
    """Answer where the hashes of a user's ids stand in the pool."""
    return row[IDS_AT] + 1 + row[IDS_CAP] // TAGS_PER_WORD


@inlined
def hash_at(pool, row, place):
    """Read the hash at a place."""
    return pool[hashes_of(row) + place]


@inlined
def time_at(pool, row, place):
    """Read the time at a place."""
    word = pool[hashes_of(row) + row[IDS_CAP] + place // TIMES_PER_WORD]
    return (word >> TIME_BITS * (place % TIMES_PER_WORD)) & TIME_MASK


@inlined
def put_bits(pool, at, shift, mask, bits):
    """Write some bits of a word."""
    pool[at] = (pool[at] & ~(mask << shift)) | (bits & mask) << shift


@inlined
def put_id(pool, row, place, id_hash, time):
    """Write an id at a place."""
    hashes = hashes_of(row)
    shift = TAG_BITS * (place % TAGS_PER_WORD)
    put_bits(pool, row[IDS_AT] + 1 + place // TAGS_PER_WORD, shift, np.int64(TAG_MASK), id_hash)
    pool[hashes + place] = id_hash
    shift = TIME_BITS * (place % TIMES_PER_WORD)
    put_bits(pool, hashes + row[IDS_CAP] + place // TIMES_PER_WORD, shift, np.int64(TIME_MASK), time)


@inlined
def tag_words(pool, row):
    """Answer how many words of tags are in use."""
    used = row[IDS_COUNT] if first_of(pool, row[IDS_AT]) == 0 else row[IDS_CAP]
    return (used + TAGS_PER_WORD - 1) // TAGS_PER_WORD


@inlined
def has_tag(pool, row, id_hash):
    """Tell whether an id may be among those remembered. It reads to the end: so the CPU takes several words at once."""
    wanted = np.uint64(id_hash & TAG_MASK) * LOW_OF_EACH
    found, at = np.uint64(0), np.uintp(row[IDS_AT] + 1)
    for n in range(np.uintp(tag_words(pool, row))):
        apart = np.uint64(pool[at + n]) ^ wanted  # A tag of zero bits is the one wanted.
        found |= (apart - LOW_OF_EACH) & ~apart
    return (found & HIGH_OF_EACH) != np.uint64(0)


@borrowing
def finds_id(pool, row, id_hash, oldest):
    """Look for an id that is not older."""
    for entry in range(row[IDS_COUNT]):
        place = place_of(pool, row, entry)
        if hash_at(pool, row, place) == id_hash and time_at(pool, row, place) >= oldest:
            return True
    return False


@inlined
def remembers_id(state, row, tables, id_hash):
    """Tell whether an applied event with this id is remembered: within the allowed lateness of the user's newest."""
    if row[IDS_COUNT] == 0 or not has_tag(state.pool, row, id_hash):
        return False
    return finds_id(state.pool, row, id_hash, id_time(row[NEWEST] - limit(tables, M_LATENESS)))


@borrowing
def forget_old_ids(state, row, tables):
    """Drop the ids that lateness has passed, keeping the order of the others."""
    oldest = id_time(row[NEWEST] - limit(tables, M_LATENESS))
    if row[IDS_COUNT] == 0 or oldest <= oldest_of(state.pool, row[IDS_AT]):
        return
    kept, oldest_kept = np.int64(0), np.int64(TIME_MASK)
    for entry in range(row[IDS_COUNT]):
        place = place_of(state.pool, row, entry)
        time = time_at(state.pool, row, place)
        if time >= oldest:
            id_hash = hash_at(state.pool, row, place)
            put_id(state.pool, row, place_of(state.pool, row, kept), id_hash, time)
            oldest_kept = min(oldest_kept, time)
            kept += 1
    row[IDS_COUNT] = kept
    set_head(state.pool, row[IDS_AT], first_of(state.pool, row[IDS_AT]), oldest_kept)


@borrowing
def new_ids(state, row, count):
    """Give a user an empty block for at least so many ids; none for none."""
    row[IDS_AT] = row[IDS_CAP] = row[IDS_COUNT] = 0
    if count:
        words = words_for(count)
        row[IDS_AT] = allocate(state, words)
        row[IDS_CAP] = capacity_of(class_words(size_class(words)))
        set_head(state.pool, row[IDS_AT], np.int64(0), np.int64(TIME_MASK))


@inlined
def ids_words(row):
    """Answer how many words of the pool a user's ids take."""
    return words_for(row[IDS_CAP]) if row[IDS_CAP] else 0


@borrowing
def release_ids(state, row):
    """Give a user's block back."""
    if row[IDS_CAP]:
        release(state, row[IDS_AT], words_for(row[IDS_CAP]))
        row[IDS_AT] = row[IDS_CAP] = 0


@inlined
def append_id(pool, row, id_hash, time):
    """Remember an id behind the others; there is room for it."""
    put_id(pool, row, place_of(pool, row, row[IDS_COUNT]), id_hash, time)
    first, oldest = first_of(pool, row[IDS_AT]), oldest_of(pool, row[IDS_AT])
    set_head(pool, row[IDS_AT], first, min(oldest, time))
    row[IDS_COUNT] += 1


@borrowing
def grow_ids(state, row):
    """Move the ids into a block with room for twice as many; the first is at place 0, since none was evicted yet."""
    block, size, count, hashes = row[IDS_AT], row[IDS_CAP], row[IDS_COUNT], hashes_of(row)
    new_ids(state, row, max(2 * size, TAGS_PER_WORD))
    if not size:
        return
    words, to = (count + TAGS_PER_WORD - 1) // TAGS_PER_WORD, hashes_of(row)
    copy_words(state.pool, row[IDS_AT], state.pool, block, 1 + words)
    copy_words(state.pool, to, state.pool, hashes, count)
    words = (count + TIMES_PER_WORD - 1) // TIMES_PER_WORD
    copy_words(state.pool, to + row[IDS_CAP], state.pool, hashes + size, words)
    row[IDS_COUNT] = count
    release(state, block, words_for(size))


@borrowing
def make_room(state, row, tables, ids_max):
    """Make room for one id more; beyond the bound the ids that were applied first are forgotten, and counted."""
    forget_old_ids(state, row, tables)
    while row[IDS_COUNT] >= ids_max:
        second = place_of(state.pool, row, 1)
        set_head(state.pool, row[IDS_AT], second, oldest_of(state.pool, row[IDS_AT]))
        row[IDS_COUNT] -= 1
        state.counts[C_IDS_EVICTED] += 1
    if row[IDS_CAP] < ids_max and 4 * (row[IDS_COUNT] + 1) > 3 * row[IDS_CAP]:
        grow_ids(state, row)


@inlined
def remember_id(state, row, tables, id_hash, event_time_ms):
    """Remember an applied event."""
    ids_max = limit(tables, M_IDS)
    if row[IDS_COUNT] >= min(ids_max, row[IDS_CAP]):
        make_room(state, row, tables, ids_max)
    append_id(state.pool, row, id_hash, id_time(event_time_ms))


@inlined
def fetch_all_ids(pool, row):
    """Have brought near all that is remembered of a user."""
    for line in range(min(LINES_MAX, ids_words(row) // LINE_WORDS)):
        prefetch(pool, row[IDS_AT] + LINE_WORDS * line)


@inlined
def fetch_ids(pool, row):
    """Have brought near what the next event of a user looks at, and where its id goes."""
    tags, hashes, count = row[IDS_AT], hashes_of(row), row[IDS_COUNT]
    for line in range(min(TAG_LINES_MAX, (1 + count // TAGS_PER_WORD) // LINE_WORDS + 1)):
        prefetch(pool, tags + LINE_WORDS * line)
    prefetch(pool, hashes + count)
    prefetch(pool, hashes + row[IDS_CAP] + count // TIMES_PER_WORD)
