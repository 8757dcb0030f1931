"""What the rate limiter of a fleet keeps in Redis, and the scripts that change it, each atomic.

All times are microseconds of Redis' clock. Under one prefix for each Patchwork there are

- `bucket`: the next free slot, which may lie in the past by as much as the burst allows, and the
  time of the bucket's making, which tells it from a lost one;
- `hold`: until when nobody may ask, for how long that was said, why, and whether by the server;
- `lifted`: when somebody last lifted a hold, so that each process forgets its own, too;
- `requests`: the requests of a day, one hash with the day since 1970, the total, and a number for
  each `namespace/project`;
- `restored`: the namespaces whose requests of the day came back from the store.
"""

from __future__ import annotations

from patchsync.patchwork.rate_limit_state import LONGEST_HOLD

# What `RESERVE` says of a request: it may be sent, and is counted; it has a slot to wait for; it
# would have to wait too long, and has none.
SEND, WAIT, TOO_LONG, BUDGET_SPENT, COUNT_LOST = range(5)

# The clock may be set back. A hold that lies further ahead than it was to last begins anew; what
# was counted on a day to come was sent all the same, and counts today.
_CLOCK = (
    f"""
local longest_hold = {LONGEST_HOLD * 1_000_000:.0f}
"""
    + """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local day = math.floor(time[1] / 86400)
local function begin_day(counts)
  local counted = tonumber(redis.call('HGET', counts, 'day') or '')
  if counted == day then return end
  if not counted or counted < day then redis.call('DEL', counts) end
  redis.call('HSET', counts, 'day', day)
end
local function keep_hold(hold, till, length)
  redis.call('HSET', hold, 'till', string.format('%.0f', till),
             'length', string.format('%.0f', length))
  redis.call('PEXPIRE', hold, math.floor(length / 1000) + 1)
end
local function held_until(hold)
  local till = tonumber(redis.call('HGET', hold, 'till') or '0')
  local length = tonumber(redis.call('HGET', hold, 'length') or longest_hold)
  if till - now > length then
    till = now + length
    keep_hold(hold, till, length)
  end
  return till
end
"""
)

# Keys: bucket, hold, requests, restored. Arguments: the field to count, a slot and the making of
# its bucket (0: none), interval, burst, patience, milliseconds that a bucket is kept, namespace,
# budget (0: none), whether the namespace's count must be there, the patience of the most patient.
# Answers one of the above, how long to wait, the slot reserved, the making of its bucket, and the
# reason of a hold.
RESERVE = (
    _CLOCK
    + """
local bucket, hold, counts, restored = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local field, slot, from = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local interval, burst, patience = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local namespace, budget, counted = ARGV[8], tonumber(ARGV[9]), ARGV[10] == '1'
local held = held_until(hold)
local why = held > now and redis.call('HGET', hold, 'why') or ''
local function keep(free, made)
  redis.call('HSET', bucket, 'free', string.format('%.0f', free),
             'made', string.format('%.0f', made))
  redis.call('PEXPIRE', bucket, ARGV[7])
end

if counted and redis.call('SISMEMBER', restored, namespace) == 0 then return {4, 0, 0, 0, ''} end
begin_day(counts)
if budget > 0 and tonumber(redis.call('HGET', counts, 'total') or '0') >= budget then
  return {3, (day + 1) * 86400000000 - now, 0, 0, ''}
end

if interval == 0 then
  slot = math.max(now, held)
  if slot - now > patience then return {2, slot - now, 0, 0, why} end
else
  local free = tonumber(redis.call('HGET', bucket, 'free') or '')
  local made = tonumber(redis.call('HGET', bucket, 'made') or '')
  -- Nobody has reserved a slot so far ahead: the clock was set back since. As if it were lost.
  local furthest = math.max(now, held) + tonumber(ARGV[11]) + interval
  if not free or free > furthest then
    free, made = now + interval, now
    keep(free, made)
  end
  -- A slot from before is void if a hold came since, or if the bucket that gave it is lost.
  if slot < held or from ~= made then
    slot = math.max(free, now - (burst - 1) * interval, held)
    from = made
    if slot - now > patience then return {2, slot - now, 0, 0, why} end
    keep(slot + interval, made)
  end
end
if slot > now then return {1, slot - now, slot, from, ''} end
redis.call('HINCRBY', counts, field, 1)
redis.call('HINCRBY', counts, 'total', 1)
return {0, 0, 0, 0, ''}
"""
)

# Keys: hold, bucket, lifted. Arguments: how long, milliseconds that a bucket is kept, why, whether
# the server said so. Answers how much longer nobody may ask than before, and when one was lifted.
HOLD = (
    _CLOCK
    + """
local hold, bucket, lifted = KEYS[1], KEYS[2], redis.call('GET', KEYS[3]) or ''
local till, before, by_server = now + ARGV[1], held_until(hold), ARGV[4]
if till <= before then return {0, lifted} end
-- What the server asked for is part of it.
if before > now and redis.call('HGET', hold, 'by_server') == '1' then by_server = '1' end
redis.call('HSET', hold, 'why', ARGV[3], 'by_server', by_server)
keep_hold(hold, till, tonumber(ARGV[1]))
-- No burst either when it is over. A bucket that is not there is empty anyway.
local free = tonumber(redis.call('HGET', bucket, 'free') or '')
if free and free < till then
  redis.call('HSET', bucket, 'free', string.format('%.0f', till))
  redis.call('PEXPIRE', bucket, ARGV[2])
end
return {till - math.max(before, now), lifted}
"""
)

# Keys: hold, bucket, lifted. No burst follows: the bucket is made anew, and empty.
LIFT = (
    _CLOCK
    + """
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('SET', KEYS[3], string.format('%.0f', now), 'PX', math.floor(2 * longest_hold / 1000))
"""
)

# Keys: requests, restored. Arguments: namespace, names of projects. Answers the day, whether the
# namespace's requests are back, and the number of each.
COUNT_OF = (
    _CLOCK
    + """
begin_day(KEYS[1])
local answer = {day, redis.call('SISMEMBER', KEYS[2], ARGV[1])}
for i = 2, #ARGV do
  local field = ARGV[1] .. '/' .. ARGV[i]
  answer[#answer + 1] = tonumber(redis.call('HGET', KEYS[1], field) or '0')
end
return answer
"""
)

# Keys: requests, restored. Arguments: namespace, the day of what the store kept (-1: no store), and
# of each project its name and number. The first time these come on top of what was counted since
# Redis lost its data; later on, at least so many were sent. Answers the day and the counts.
COUNT = (
    _CLOCK
    + """
begin_day(KEYS[1])
local kept = tonumber(ARGV[2])
if kept >= 0 then
  local first = redis.call('SADD', KEYS[2], ARGV[1]) == 1
  for i = 3, kept == day and #ARGV or 0, 2 do
    local field = ARGV[1] .. '/' .. ARGV[i]
    local more = tonumber(ARGV[i + 1])
    if not first then more = more - tonumber(redis.call('HGET', KEYS[1], field) or '0') end
    if more > 0 then
      redis.call('HINCRBY', KEYS[1], field, more)
      redis.call('HINCRBY', KEYS[1], 'total', more)
    end
  end
end
return {day, redis.call('HGETALL', KEYS[1])}
"""
)
