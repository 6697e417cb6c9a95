// npm `socket.io`: io.emit(), which encodes once for everybody. Usage: node relay_socketio.js PORT
"use strict";
const http = require("node:http").createServer();
const { Server } = require("socket.io");

const io = new Server(http, {
  transports: ["websocket"],
  serveClient: false,
  perMessageDeflate: false,
  pingInterval: 300_000, // milliseconds: as in relay_socketio.py, where the default cuts off who waits long
  pingTimeout: 300_000,
});
io.on("connection", (member) => member.on("m", (text) => io.emit("m", text)));
// "Memory usage" of its documentation: nobody needs the request that opened the connection any more.
io.engine.on("connection", (raw) => { raw.request = null; });
http.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
