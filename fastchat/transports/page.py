"""The page at `/`: what this is and how to connect. No script, nothing loaded from elsewhere."""

from __future__ import annotations

import base64
import hashlib

STYLE = """
body { max-width: 40rem; margin: 4rem auto; padding: 0 1rem; font: 1rem/1.6 system-ui, sans-serif;
  color: #1d2733; background: #fbfaf7 }
h1 { font-size: 1.6rem; margin-bottom: 0 }
code, pre { font: .9rem/1.5 ui-monospace, monospace; background: #efece4; border-radius: 4px }
code { padding: .1rem .3rem }
pre { padding: .8rem 1rem; overflow-x: auto }
@media (prefers-color-scheme: dark) {
  body { color: #d9dee5; background: #14181d }
  code, pre { background: #222931 }
}
"""

PAGE = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fastchat</title>
<style>{STYLE}</style>
</head>
<body>
<h1>fastchat</h1>
<p>This is a fastchat server: it relays messages between the members of rooms, over TCP and WebSocket, on
this one port.</p>
<h2>Connect</h2>
<p>From a terminal, with this page's host and port in place of the address:</p>
<pre>fastchat chat lobby --name ada --url tcp://127.0.0.1:9999</pre>
<p>From a program, open a WebSocket at <code>/ws</code> with the subprotocol <code>fastchat.v1.json</code>
(JSON as text) or <code>fastchat.v1.msgpack</code> (msgpack as binary), and begin with CONNECT:</p>
<pre>[1, 1, 1, {{"name": "ada"}}]
[2, 2, "lobby", {{}}]
[4, 3, "lobby", "hello"]</pre>
<p>Over TCP the same arrays are msgpack, each after its length in 4 bytes, big-endian. The full text is in
<code>docs/PROTOCOL.md</code> of the project.</p>
<h2>For machines</h2>
<p><code>/healthz</code> answers while the server runs, <code>/readyz</code> while it takes new sessions.</p>
</body>
</html>
"""

PAGE_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)
