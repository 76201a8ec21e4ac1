// The npm package `ws` against an engine: node ws.mjs ws://HOST:PORT. Ends with 0 only when everything was heard.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import WebSocket from 'ws';

const url = process.argv[2];
const takeover = process.env.TAKEOVER === '1';
const room = `${url}/room/ws-${process.pid}`;
setTimeout(() => { console.error('ws: not within 60 s'); process.exit(1); }, 60_000).unref();

// A client whose messages are taken one by one.
async function open(address, perMessageDeflate) {
  const socket = new WebSocket(address, { perMessageDeflate });
  const heard = [];
  const waiting = [];
  socket.on('message', (data, isBinary) => {
    const message = isBinary ? data : data.toString();
    waiting.length > 0 ? waiting.shift()(message) : heard.push(message);
  });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return {
    socket,
    next: () => (heard.length > 0 ? heard.shift() : new Promise((resolve) => waiting.push(resolve))),
    close: () => new Promise((resolve) => { socket.once('close', resolve); socket.close(1000, 'bye'); }),
  };
}

const listing = (count) => JSON.stringify(Array.from({ length: count }, (_, id) => ({ id, x: (id * 7919) % 1024, name: `player ${id}` })));
const messages = [
  'hello', '', 'ünï\u{1F349}', listing(10), listing(10), listing(4000), listing(4000),
  Buffer.alloc(0), randomBytes(20), randomBytes(5000), randomBytes(300_000), Buffer.alloc(500_000, 'abc'),
];

async function hears(client, message) {
  const heard = await client.next();
  assert.equal(typeof heard, typeof message);
  assert.ok(Buffer.from(heard).equals(Buffer.from(message)), `${heard.length} of ${message.length} bytes`);
}

const variants = {
  'its defaults': {},
  'everything compressed': { threshold: 0 },
  'small windows': { serverMaxWindowBits: 9, clientMaxWindowBits: 10, threshold: 0 },
  'no takeover': { serverNoContextTakeover: true, clientNoContextTakeover: true },
  'none at all': false,
};
for (const [name, variant] of Object.entries(variants)) {
  const [echo, one, other] = await Promise.all([open(`${url}/echo`, variant), open(room, variant), open(room, {})]);
  const agreed = echo.socket.extensions;
  assert.equal(agreed, variant === false ? '' : 'permessage-deflate');
  const context = echo.socket._extensions?.['permessage-deflate']?.params;
  if (variant !== false) {
    const none = !takeover || variant.serverNoContextTakeover === true;
    assert.equal(context.server_no_context_takeover === true, none);
    assert.equal(context.server_max_window_bits, variant.serverMaxWindowBits);
    assert.equal(context.client_max_window_bits, variant.clientMaxWindowBits);
  }
  for (const message of messages) {
    echo.socket.send(message);
    await hears(echo, message);
    one.socket.send(message);
    await Promise.all([hears(one, message), hears(other, message)]);
  }
  // What came over the wire was compressed, or was not.
  const total = messages.reduce((sum, message) => sum + Buffer.byteLength(message), 0);
  const received = echo.socket._socket.bytesRead;
  assert.ok(variant === false ? received > total : received < total * 0.6, `${received} bytes for ${total}`);
  console.log(`ws ${name}: ${variant === false ? 'plain' : JSON.stringify(context)}, ${messages.length} messages of ${total} bytes in ${received}, echoed and shared`);
  await Promise.all([echo.close(), one.close(), other.close()]);
}
