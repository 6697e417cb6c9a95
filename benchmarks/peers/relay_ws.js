// npm `ws`: a loop of send() over all clients, as its documentation broadcasts. Usage: node relay_ws.js PORT
"use strict";
const { WebSocket, WebSocketServer } = require("ws");

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  path: "/",
  backlog: 4096,
  perMessageDeflate: false,
});
server.on("connection", (member) => {
  member.on("error", () => member.terminate()); // else one reset connection ends the process
  member.on("message", (data, binary) => {
    for (const other of server.clients) {
      if (other.readyState === WebSocket.OPEN) other.send(data, { binary });
    }
  });
});
