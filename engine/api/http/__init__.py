"""HTTP/1.1 on any transport, TLS and WebSocket included, without any knowledge of containers.

server.py         accepts connections, and ends them in order
sockets.py        opens the sockets of the API
transports.py     bytes of a connection: in, out, or given away
tls.py            TLS, with clients named by their certificates
actors.py         finds who is at the other end: credentials or certificate
http11.py         one connection: requests in, replies out
incoming.py       bytes → requests
framing.py        finds where a request's body ends
requests.py       one request, as handlers see it
replies.py        what a handler returns
outgoing.py       replies → bytes
router.py         method and path → handler
operations.py     what a route takes and answers, for the description of the API
status.py         errors → status codes
json_bodies.py    decodes JSON bodies; refuses them in Docker's words
path_patterns.py  patterns as Go's path.Match has them
archives.py       sends archives to a client
stream_types.py   media types of standard streams
handover.py       gives a connection away once its HTTP has ended
hangups.py        notices that a client has gone
relay.py          carries a given-away connection whose bytes are translated
websocket.py      WebSocket frames around a stream
correlation.py    names requests, in responses, logs and events
"""
