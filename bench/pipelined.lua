-- For wrk: sixteen requests in one write, as a client that pipelines sends them.
local DEPTH = 16
local requests

function init()
  requests = string.rep(wrk.format("GET"), DEPTH)
end

function request()
  return requests
end
