"""
Redis alone keeps and scores the users, in a Lua script; a Python loop feeds it and publishes changes.

Tuned only: consume(20000), msgspec, all events of a batch ordered by user for 100 users a call, the calls sent as
one buffer packed by hiredis; state is one msgpack string a user beside the profile, only used buckets in it.
State survives the process, as far as Redis does; an event can be counted twice after a crash.
"""

import hiredis
import msgspec
import redis
from confluent_kafka import Message, Producer

from benchmarks.peers.decoded import decoded
from benchmarks.peers.job import TIERS
from benchmarks.peers.peer import Meter, Task, read_task
from benchmarks.peers.plain import open_consumer

USERS_A_CALL = 100
CALLS_A_BUFFER = 20
SCRIPT = (
    """
local WEIGHT = {page_view = 1, add_to_cart = 5, order_paid = 20}
local HALF, HOUR, DAY, SHIFT = 2592000000, 3600000, 86400000, 28800000
local TIER = {'bronze', 'silver', 'gold', 'platinum'}
local ENTER, KEEP = {0, 20 - 20e-9, 50 - 50e-9, 80 - 80e-9}, {0, 16 - 16e-9, 40 - 40e-9, 64 - 64e-9}
local function part(bucket, span, used)
  local sum = 0
  for at, value in pairs(used) do
    if at > bucket - span then sum = sum + value else used[at] = nil end
  end
  return sum
end
local changes, at = {}, 1
for user = 1, #KEYS, 2 do
  local raw = redis.call('GET', KEYS[user + 1])
  local activity, now, rung, hours, days = 0, 0, 1, {}, {}
  if raw then activity, now, rung, hours, days = cmsgpack.unpack(raw) end
  local views, spend = part(math.floor(now / HOUR), 25, hours), part(math.floor((now + SHIFT) / DAY), 31, days)
  local score = 0
  for _ = 1, tonumber(ARGV[at]) do
    local kind, time, cents = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    at = at + 3
    local hour, day = math.floor(time / HOUR), math.floor((time + SHIFT) / DAY)
    if time >= now then
      activity = activity * 2 ^ ((now - time) / HALF) + WEIGHT[kind]
      if hour ~= math.floor(now / HOUR) then views = part(hour, 25, hours) end
      if day ~= math.floor((now + SHIFT) / DAY) then spend = part(day, 31, days) end
      now = time
    else
      activity = activity + WEIGHT[kind] * 2 ^ ((time - now) / HALF)
    end
    if kind == 'page_view' and hour > math.floor(now / HOUR) - 25 then
      hours[hour] = (hours[hour] or 0) + 1
      views = views + 1
    elseif kind == 'order_paid' and day > math.floor((now + SHIFT) / DAY) - 31 then
      days[day] = (days[day] or 0) + cents
      spend = spend + cents
    end
    score = activity < 50 and activity * 0.4 or math.min(20 + (activity - 50) / 22.5, 40)
    score = score + math.min(views * 0.2, 10)
    score = score + (spend < 100000 and spend * 0.0003 or math.min(30 + (spend / 100 - 1000) / 950, 50))
    local before = rung
    while rung < 4 and score >= ENTER[rung + 1] do rung = rung + 1 end
    while score < KEEP[rung] do rung = rung - 1 end
    if rung ~= before then
      changes[#changes + 1] = string.format('%d %d %d %.17g %d', (user - 1) / 2, before, rung, score, now)
    end
  end
  at = at + 1
  redis.call('SET', KEYS[user + 1], cmsgpack.pack(activity, now, rung, hours, days))
  redis.call('HSET', KEYS[user], 'tier', TIER[rung], 'score', string.format('%.6f', score),"""
    """ 'spend', string.format('%.2f', spend / 100))
end
return changes
"""
)


class Scorer:
    """Sends events to the script."""

    def __init__(self, task: Task) -> None:
        client = redis.Redis.from_url(task.redis_url)
        self._task, self._digest = task, client.script_load(SCRIPT)
        self._connection = client.connection_pool.get_connection()
        self._producer = Producer({"bootstrap.servers": task.bootstrap, "linger.ms": 20})

    def score(self, messages: list[Message]) -> None:
        """Score a batch and publish its changes."""
        words: dict[str, list[str]] = {}
        for message in messages:
            user_id, kind, at_ms, cents = decoded(message.value())
            words.setdefault(user_id, []).extend((kind, str(at_ms), str(cents)))
        users = list(words)
        calls = [users[first : first + USERS_A_CALL] for first in range(0, len(users), USERS_A_CALL)]
        for first in range(0, len(calls), CALLS_A_BUFFER):
            some = calls[first : first + CALLS_A_BUFFER]
            self._connection.send_packed_command([b"".join(self._packed(call, words) for call in some)])
            for call in some:
                for line in self._connection.read_response():
                    self._publish(call, line.decode().split())
        self._producer.poll(0)

    def close(self) -> None:
        """Wait until all changes are out."""
        self._producer.flush()

    def _packed(self, users: list[str], words: dict[str, list[str]]) -> bytes:
        keys = [key for user in users for key in (self._task.key(user), f"{self._task.prefix}:state:{user}")]
        arguments = [word for user in users for word in (str(len(words[user]) // 3), *words[user])]
        packed: bytes = hiredis.pack_command(("EVALSHA", self._digest, str(len(keys)), *keys, *arguments))
        return packed

    def _publish(self, users: list[str], line: list[str]) -> None:
        number, before, after, score, at_ms = line
        change = {"user_id": users[int(number)], "from": TIERS[int(before) - 1], "to": TIERS[int(after) - 1]}
        value = msgspec.json.encode({**change, "score": float(score), "at_ms": int(at_ms)})
        self._producer.produce(self._task.changes, value, users[int(number)])


def main() -> None:
    """Score everything."""
    task = read_task()
    meter, scorer = Meter(task), Scorer(task)
    consumer = open_consumer(task, **{"fetch.queue.backoff.ms": 5})
    while not meter.is_done:
        messages = consumer.consume(20_000, 0.05)
        scorer.score(messages)
        meter.took(len(messages))
    scorer.close()
    meter.finish()


if __name__ == "__main__":
    main()
