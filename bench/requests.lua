-- Asks what the file says, one line a request, from a place of its own; a line is a path, and after a tab the Authorization header.
-- With a pause, in milliseconds, each connection waits that long before a request: a load that doesn't grow with the answers' speed.
local requests, at, pause = {}, 0, 0

function init(args)
  for line in io.lines(args[1]) do
    local path, authorization = line:match('^([^\t]+)\t?(.*)$')
    local headers = authorization ~= '' and { Authorization = authorization } or {}
    requests[#requests + 1] = wrk.format('GET', path, headers)
  end
  pause = tonumber(args[2] or '0')
  math.randomseed(os.time())
  at = math.random(#requests)
  if pause == 0 then delay = nil end
end

function delay()
  return math.floor(pause * (0.5 + math.random()))
end

function request()
  at = at % #requests + 1
  return requests[at]
end
