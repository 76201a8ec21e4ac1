// workerd: Durable Objects with the Hibernation API.
import { DurableObject } from "cloudflare:workers";

export default {
  async fetch(request, env) {
    if (request.headers.get("Upgrade")?.toLowerCase() !== "websocket") {
      return new Response("WebSockets only", { status: 426 });
    }
    const path = new URL(request.url).pathname;
    const objects = path === "/echo" ? env.ECHO : env.ROOM;
    return objects.get(objects.idFromName(path)).fetch(request);
  },
};

class Hibernating extends DurableObject {
  async fetch() {
    const [client, server] = Object.values(new WebSocketPair());
    this.ctx.acceptWebSocket(server);
    return new Response(null, { status: 101, webSocket: client });
  }

  async webSocketClose(socket, code, reason) {
    try {
      socket.close(code, reason);
    } catch {
      // Gone already.
    }
  }
}

export class Room extends Hibernating {
  async webSocketMessage(_sender, message) {
    for (const socket of this.ctx.getWebSockets()) {
      try {
        socket.send(message);
      } catch {
        // Gone already.
      }
    }
  }
}

export class Echo extends Hibernating {
  async webSocketMessage(socket, message) {
    socket.send(message);
  }
}
