// Bun.serve (which embeds uWebSockets) with publish/subscribe.
//
// bun bun.mjs PORT
const port = Number(process.argv[2]);

const server = Bun.serve({
  port,
  hostname: "127.0.0.1",
  fetch(request, server) {
    const path = new URL(request.url).pathname;
    if (server.upgrade(request, { data: { path } })) return;
    return new Response("WebSockets only", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    idleTimeout: 0,
    sendPings: false,
    backpressureLimit: 16 * 1024 * 1024,
    open(socket) {
      if (socket.data.path !== "/echo") socket.subscribe(socket.data.path);
    },
    message(socket, message) {
      if (socket.data.path === "/echo") socket.send(message);
      else server.publish(socket.data.path, message);
    },
  },
});
