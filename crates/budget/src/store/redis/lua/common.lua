-- What the scripts share. KEYS[1] is the state; the other keys of a store are named after it, with the same hash tag.
--
-- The state is a hash. Of an account in a window it has `a|`, its name, `|` and the beginning of the window: spent and reserved,
-- as two packed numbers; and `x|` with the same name if it has refused. What it has of a rolling account is told in `rolling`.
-- Of a hold it has `h:` with its name: `o` and what is taken of each account while it is open, `l` and the id of its row when it
-- is lost, `!` when it has ended. `l:` with its name is its record, once it has come from the list of fresh ones.
--
-- A record is {hold, when it began by this clock as far as the client knew, lease, accounts, row to write when it is lost}, an
-- account in that {name, beginning of its window or of its slice, take, if_lost, ttl, length of a slice or 0, beginning of the
-- rolling window}.
--
-- No number here is ever above MOST, up to which a Lua number is exact.
local MOST = 9007199254740991
local HOLD, BEGUN, LEASE, ACCOUNTS, ROW = 1, 2, 3, 4, 5
local NAME, AT, TAKE, IF_LOST, TTL, STEP, START = 1, 2, 3, 4, 5, 6, 7

local STATE = KEYS[1]
local PREFIX = string.sub(STATE, 1, -6)
local FRESH, DUE, TOLD = PREFIX .. 'fresh', PREFIX .. 'due', PREFIX .. 'told'
local WINDOWS, ROLLING = PREFIX .. 'windows', PREFIX .. 'rolling'
local WRITTEN, ROWS, DAYS = PREFIX .. 'written', PREFIX .. 'rows', PREFIX .. 'days'

-- For so long it is remembered that a hold has ended.
local ENDED_KEPT = 86400000

-- For so long an ended hold stays in the state, by its name's time and the server's clock; then it goes to the sets of the
-- ended, which take less room.
local RECENT = 120000

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function made_ms(hold)
  return tonumber(string.sub(hold, 1, 12), 16)
end

local function decimal(number)
  -- The sum makes a plain 0 of Lua's -0, which Redis does not read.
  return string.format('%.0f', number + 0)
end

local function within(number)
  return math.max(0, math.min(MOST, number))
end

-- What the state has of an account and window under this name: spent, reserved, and whether it has anything.
local function counted(field)
  local packed = redis.call('HGET', STATE, field)
  if not packed then return 0, 0, false end
  local spent, reserved = struct.unpack('<dd', packed)
  return spent, reserved, true
end

-- The letter of a hold and what stands after it; of none nothing.
local function state_of(hold)
  local raw = redis.call('HGET', STATE, 'h:' .. hold)
  if not raw then return nil end
  local letter, rest = string.match(raw, '^([ol!])(.*)$')
  return letter or error('a hold that cannot be read'), rest
end

-- The set of the ended that a hold is or will be in, and its number there. A set of up to 512 whole numbers takes 8 bytes for
-- each: holds of four seconds are spread over 16 of them.
local function among_ended(hold)
  local key = PREFIX .. 'e:' .. decimal(math.floor(made_ms(hold) / 4000)) .. ':' .. string.sub(hold, 13, 13)
  return key, decimal(tonumber(string.sub(hold, -13), 16))
end

local function is_ended(hold)
  return redis.call('SISMEMBER', among_ended(hold)) == 1
end
