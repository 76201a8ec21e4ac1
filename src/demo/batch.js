/* Batches: many messages in one WebSocket message, ["batch/1", message, message, ...] as JSON text, both ways.
   docs/batching.md has the format and its limits. It needs nothing else; copy it. */

/** Puts messages together; a batch leaves when its first message is `delayMs` old, or when it has `messages`. */
class Batcher {
  #send;
  #delayMs;
  #messages;
  #waiting = [];
  #since = 0;
  #timer = 0;

  /** `send` is called with the text of each batch: `new Batcher((text) => socket.send(text))`. */
  constructor(send, { delayMs = 50, messages = 64 } = {}) {
    this.#send = send;
    this.#delayMs = delayMs;
    this.#messages = Math.min(messages, 4096);
  }

  /** Anything that JSON can express. It is written down now: what changes in it later is not sent. */
  push(message) {
    if (this.#waiting.length === 0) {
      this.#since = performance.now();
      this.#timer = setTimeout(() => this.flush(), this.#delayMs);
    }
    this.#waiting.push(JSON.stringify(message) ?? "null");
    // The timers of a page that is hidden come late, so whoever pushes looks as well.
    const isOld = performance.now() - this.#since >= this.#delayMs;
    if (isOld || this.#waiting.length >= this.#messages) this.flush();
  }

  /** Sends what waits now. */
  flush() {
    const waiting = this.#waiting;
    this.clear();
    if (waiting.length > 0) this.#send(`["batch/1",${waiting.join()}]`);
  }

  /** Forgets what waits: the connection is lost. */
  clear() {
    clearTimeout(this.#timer);
    this.#waiting = [];
  }
}

/** The messages of a text that a socket has received: those of a batch, or the one that it is by itself. */
function unpack(text) {
  const value = JSON.parse(text);
  return text.startsWith('["batch/1"') ? value.slice(1) : [value];
}
