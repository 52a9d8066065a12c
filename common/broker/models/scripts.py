"""The steps of the model registry that the broker runs as one: a version becomes visible, the pointer moves."""

from __future__ import annotations

from common.broker.scripts import Script

_WORDS = """
local function now()
  local time = redis.call('TIME')
  return tonumber(time[1]) + math.floor(tonumber(time[2]) / 1000) / 1000
end
local function last(key)
  local found = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)
  return found[1] and tonumber(string.match(found[1][1], '^%d+')) or 0
end
local function pointer(key)
  local stored = redis.call('HGET', key, 'pointer')
  if stored then return cjson.decode(stored) end
  return {generation = 0, detector = cjson.null, classifier = cjson.null, by = '', why = '', at_s = 0}
end
local function named(at)
  local refs = {}
  for _, kind in ipairs({'detector', 'classifier'}) do
    if at[kind] and at[kind] ~= cjson.null then refs[#refs + 1] = at[kind] end
  end
  return refs
end
local function fenced(key, epoch)
  return key and redis.call('HGET', key, 'epoch') ~= epoch
end
local function known(key, ref)
  local stored = redis.call('HGET', key, ref.kind .. '/' .. ref.version)
  return stored and cjson.decode(stored).summary.ref.digest == ref.digest
end
local function note(key, kept, entry)
  entry.number = last(key) + 1
  entry.at_s = now()
  redis.call('XADD', key, 'MAXLEN', kept, string.format('%d-0', entry.number), 'entry', cjson.encode(entry))
end
"""

# A blob that no version names yet expires by itself; the set of uploads only counts them.
CHUNK = Script("""#!lua
local ttl = redis.call('TTL', KEYS[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ttl ~= -1 then
  redis.call('EXPIRE', KEYS[1], ARGV[3])
  redis.call('HSET', KEYS[2], ARGV[4], redis.call('TIME')[1])
end
return 1
""")

PUBLISH = Script(
    "#!lua flags=allow-oom"
    + _WORDS
    + """
local record = cjson.decode(ARGV[2])
local stored = redis.call('HGET', KEYS[2], ARGV[1])
if stored then
  local old = cjson.decode(stored)
  if old.summary.ref.digest ~= record.summary.ref.digest then return {'taken', old.summary.ref.digest} end
  if record.signature ~= '' and record.signature ~= old.signature then
    old.signature, old.summary.signed_by = record.signature, record.summary.signed_by
    redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(old))
  end
  return {'same', ''}
end
for at = 5, #KEYS do
  local size, parts = 0, redis.call('HKEYS', KEYS[at])
  for _, part in ipairs(parts) do size = size + redis.call('HSTRLEN', KEYS[at], part) end
  if size ~= tonumber(ARGV[2 * at - 4]) then return {'missing', tostring(at - 4)} end
end
for at = 5, #KEYS do
  redis.call('PERSIST', KEYS[at])
  redis.call('HDEL', KEYS[3], ARGV[2 * at - 3])
end
record.summary.at_s = now()
redis.call('HSET', KEYS[2], ARGV[1], cjson.encode(record))
note(KEYS[4], ARGV[5], {action = 'published', generation = pointer(KEYS[1]).generation,
  refs = {record.summary.ref}, previous = {}, by = ARGV[3], why = ARGV[4]})
return {'ok', ''}
"""
)

MOVE = Script(
    "#!lua flags=allow-oom"
    + _WORDS
    + """
if fenced(KEYS[5], ARGV[9]) then return {'fenced', ''} end
local at = pointer(KEYS[1])
if ARGV[1] ~= '' and tonumber(ARGV[1]) ~= at.generation then return {'stale', cjson.encode(at)} end
local goal = {detector = at.detector, classifier = at.classifier}
if ARGV[2] == 'promoted' then
  for _, ref in ipairs(cjson.decode(ARGV[5])) do goal[ref.kind] = ref end
else
  local to = ARGV[6] == '' and at.generation - 1 or tonumber(ARGV[6])
  goal = {detector = cjson.null, classifier = cjson.null}
  if to ~= 0 then
    local found = to > 0 and redis.call('XRANGE', KEYS[3], string.format('%d-0', to), string.format('%d-0', to)) or {}
    if not found[1] then return {'unkept', string.format('%d', to)} end
    goal = cjson.decode(found[1][2][2])
  end
end
for _, ref in ipairs(named(goal)) do
  if not known(KEYS[2], ref) then return {'unknown', cjson.encode(ref)} end
end
local before = named(at)
local trial = redis.call('HGET', KEYS[1], 'rollout')
if trial then
  redis.call('HDEL', KEYS[1], 'rollout')
  note(KEYS[4], ARGV[7], {action = 'rollout_ended', generation = at.generation, refs = cjson.decode(trial).candidate,
    previous = before, by = ARGV[3], why = ARGV[2]})
end
goal.generation = math.max(at.generation, last(KEYS[3])) + 1
goal.by, goal.why, goal.at_s = ARGV[3], ARGV[4], now()
local text = cjson.encode(goal)
redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[8], string.format('%d-0', goal.generation), 'pointer', text)
redis.call('HSET', KEYS[1], 'pointer', text)
note(KEYS[4], ARGV[7], {action = ARGV[2], generation = goal.generation, refs = named(goal), previous = before,
  by = ARGV[3], why = ARGV[4]})
return {'ok', text}
"""
)

ROLLOUT = Script(
    "#!lua flags=allow-oom"
    + _WORDS
    + """
if fenced(KEYS[4], ARGV[5]) then return {'fenced', ''} end
local at = pointer(KEYS[1])
local before = redis.call('HGET', KEYS[1], 'rollout')
local entry = {generation = at.generation, previous = named(at), by = ARGV[2], why = ARGV[3]}
if ARGV[1] == '' then
  if not before then return {'ok', ''} end
  redis.call('HDEL', KEYS[1], 'rollout')
  entry.action, entry.refs = 'rollout_ended', cjson.decode(before).candidate
else
  local trial = cjson.decode(ARGV[1])
  if trial.base_generation ~= at.generation then return {'stale', cjson.encode(at)} end
  for _, ref in ipairs(trial.candidate) do
    if not known(KEYS[2], ref) then return {'unknown', cjson.encode(ref)} end
  end
  trial.at_s = now()
  redis.call('HSET', KEYS[1], 'rollout', cjson.encode(trial))
  entry.action, entry.refs = 'rollout_started', trial.candidate
end
note(KEYS[3], ARGV[4], entry)
return {'ok', ''}
"""
)

# Workers run this one: a script needs the right to write every key it names, and the pointer is not theirs to write.
REFUSED = Script(
    "#!lua flags=allow-oom"
    + _WORDS
    + """
note(KEYS[1], ARGV[4], {action = 'refused', generation = tonumber(ARGV[5]), refs = cjson.decode(ARGV[1]),
  previous = cjson.decode(ARGV[6]), by = ARGV[2], why = ARGV[3]})
return {'ok', ''}
"""
)

RETIRE = Script(
    "#!lua flags=allow-oom"
    + _WORDS
    + """
local stored = redis.call('HGET', KEYS[2], ARGV[1])
if not stored or cjson.decode(stored).summary.ref.digest ~= ARGV[2] then return {'unknown', ''} end
local function among(refs)
  for _, ref in ipairs(refs) do if ref.kind .. '/' .. ref.version == ARGV[1] then return true end end
end
local at = pointer(KEYS[1])
if among(named(at)) then return {'needed', 'it is in service'} end
local trial = redis.call('HGET', KEYS[1], 'rollout')
if trial and among(cjson.decode(trial).candidate) then return {'needed', 'it is on trial'} end
local reports = redis.call('HGETALL', KEYS[4])
for index = 2, #reports, 2 do
  local report = cjson.decode(reports[index])
  if report.at_s > now() - tonumber(ARGV[6]) and among(named(report)) then
    return {'needed', 'worker ' .. reports[index - 1] .. ' serves it'}
  end
end
for _, entry in ipairs(redis.call('XRANGE', KEYS[3], '-', '+')) do
  local old = cjson.decode(entry[2][2])
  if among(named(old)) then
    return {'needed', 'a rollback to generation ' .. old.generation .. ' may need it'}
  end
end
redis.call('HDEL', KEYS[2], ARGV[1])
local used = {}
for _, other in ipairs(redis.call('HVALS', KEYS[2])) do
  for _, file in pairs(cjson.decode(other).files) do used[file.sha256] = true end
end
for index = 6, #KEYS do
  if not used[ARGV[index + 1]] then redis.call('UNLINK', KEYS[index]) end
end
note(KEYS[5], ARGV[5], {action = 'retired', generation = at.generation, refs = {cjson.decode(stored).summary.ref},
  previous = {}, by = ARGV[3], why = ARGV[4]})
return {'ok', ''}
"""
)

REPORT = Script(
    "#!lua flags=allow-oom"
    + _WORDS
    + """
local report = cjson.decode(ARGV[2])
report.at_s = now()
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(report))
local reports = redis.call('HGETALL', KEYS[1])
for index = 2, #reports, 2 do
  if cjson.decode(reports[index]).at_s < report.at_s - 10 * tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], reports[index - 1])
  end
end
return 1
"""
)
