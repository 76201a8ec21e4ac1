// Node's `ws`.
//
// node ws.mjs PORT          the usual loop of client.send()
// node ws.mjs PORT --once   the frame is encoded once and handed to every socket, as socket.io's adapter does
import { createServer } from "node:http";
import { Sender, WebSocket, WebSocketServer } from "ws";

const port = Number(process.argv[2]);
const once = process.argv.includes("--once");
const rooms = new Map();

const websockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  clientTracking: false,
  skipUTF8Validation: true,
});

function sendToAll(room, message, binary) {
  if (!once) {
    for (const socket of room) if (socket.readyState === WebSocket.OPEN) socket.send(message, { binary });
    return;
  }
  const options = { fin: true, rsv1: false, opcode: binary ? 2 : 1, mask: false, readOnly: true };
  const frame = Buffer.concat(Sender.frame(message, options));
  for (const socket of room) if (socket.readyState === WebSocket.OPEN) socket._socket.write(frame);
}

function serve(socket, path) {
  socket.on("error", () => {});
  if (path === "/echo") {
    socket.on("message", (message, binary) => socket.send(message, { binary }));
    return;
  }
  if (!rooms.has(path)) rooms.set(path, new Set());
  const room = rooms.get(path);
  room.add(socket);
  socket.on("close", () => room.delete(socket));
  socket.on("message", (message, binary) => sendToAll(room, message, binary));
}

const server = createServer((request, response) => response.writeHead(426).end());
server.on("upgrade", (request, stream, head) =>
  websockets.handleUpgrade(request, stream, head, (socket) => serve(socket, request.url)),
);
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
