"""What runs on a node, in one turn of its loop: nobody sees a slot half gone."""

# On the source, behind SETSLOT MIGRATING and only if that took effect. Keys that changed since they
# were copied go by MIGRATE, and with them word of those that are gone; then the others are deleted.
# In that order: what the relay refuses leaves all keys where they are. Where nobody hears (the
# mover was killed, or can't be reached) MIGRATE goes to the target itself.
#
# Keys come as arguments: declared, one that is gone would be refused with ASK or TRYAGAIN. Just so
# it is seen that the slot migrates: a key that nobody has can't be asked for. (CLUSTER NODES says
# it, too, and takes 92 of the script's 105 microseconds.) Where nothing has changed and something
# is gone, MIGRATE needs a key to send: the carrier, which was written for that.
#
# ARGV: the slot, a key nobody has, the carrier or "", how many changed keys may go at once, the
# milliseconds MIGRATE may take, the target's host and port, the relay's or "" for none, its user
# and password, then key, digest, key, digest… of what was copied.
# Returns how many keys went, the places of those that are gone unless word was sent, and whether
# the relay has confirmed the rest.
LEAVE = """
local slot, nobodys, carrier, most, timeout = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local host, port, relay, relays_port, user, word = unpack(ARGV, 6, 11)
if type(redis.pcall('EXISTS', nobodys)) == 'number' then
  if carrier ~= '' then redis.call('UNLINK', carrier) end
  return redis.error_reply('NOTMIGRATING the slot has no mark')
end
local digests, here, has_carrier = {}, {}, false
for i = 12, #ARGV, 2 do digests[ARGV[i]] = ARGV[i + 1] end
local same, changed, gone = {}, {}, {}
for _, key in ipairs(redis.call('CLUSTER', 'GETKEYSINSLOT', slot, 1073741824)) do
  local dump = redis.call('DUMP', key)
  if key == carrier then
    has_carrier = dump
  elseif dump then
    here[key] = true
    if redis.sha1hex(dump) == digests[key] then
      same[#same + 1] = key
    else
      changed[#changed + 1] = key
    end
  end
end
for i = 12, #ARGV, 2 do
  if not here[ARGV[i]] then gone[#gone + 1] = (i - 12) / 2 end
end
if #changed > most then
  if #ARGV > 11 then return redis.error_reply('TOOMANY keys changed while they were copied') end
  changed = {unpack(changed, 1, most)}
end
local sent = changed
if #changed == 0 and #gone > 0 and has_carrier then sent = {carrier} end
local is_proven = relay ~= ''
if is_proven and #sent > 0 then
  local said = redis.pcall('MIGRATE', relay, relays_port, '', 0, timeout, 'REPLACE',
    'AUTH2', user, word .. ':' .. table.concat(gone, ','), 'KEYS', unpack(sent))
  is_proven = not said.err
  if said.err and string.find(said.err, 'Target instance replied', 1, true) then return said end
  if is_proven then gone = {} end
end
if not is_proven and #changed > 0 then
  redis.call('MIGRATE', host, port, '', 0, timeout, 'REPLACE', 'KEYS', unpack(changed))
end
for _, key in ipairs(same) do redis.call('UNLINK', key) end
if has_carrier then redis.call('UNLINK', carrier) end
return {#same + #changed, gone, is_proven and 1 or 0}
"""

# On the target: delete a copy whose key is gone from the source, if it is as it was copied.
DROP = """
local dump = redis.call('DUMP', KEYS[1])
if dump and redis.sha1hex(dump) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end
return 0
"""
