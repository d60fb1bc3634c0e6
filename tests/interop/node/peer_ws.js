// Node's ws as a peer; the commands are described in ../peers/wire.py.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// The test names the folder into which npm has put ws, which is not below this one.
const { WebSocket, WebSocketServer } = createRequire(process.argv[2] + "/")("ws");

const MAX_MESSAGE_SIZE = 32 << 20;
let ws, received, waiting, server, arrived;

function compressionOptions(policy, otherwise) {
  if (policy === null) return false;
  const without = policy === "no takeover" || otherwise;
  return { serverNoContextTakeover: without, clientNoContextTakeover: without, threshold: 0 };
}

const decode = (message) => ("text" in message ? message.text : Buffer.from(message.binary, "base64"));

function take(connection) {
  ws = connection;
  received = [];
  waiting = [];
  ws.on("message", (data, isBinary) => {
    put(isBinary ? { binary: data.toString("base64") } : { text: data.toString() });
  });
  ws.on("close", (code, reason) => put({ closed: code, reason: reason.toString() }));
  ws.on("error", () => {});
}

function put(message) {
  const next = waiting.shift();
  if (next) next(message);
  else received.push(message);
}

const about = () => ({
  subprotocol: ws.protocol || null,
  compressed: ws.extensions.includes("permessage-deflate"),
});

const sent = (data, options) =>
  new Promise((resolve, reject) => ws.send(data, options, (error) => (error ? reject(error) : resolve())));

const commands = {
  async listen({ compression, subprotocols, tls }) {
    const file = (name) => readFileSync(`${tls}/${name}.pem`);
    server = tls === null ? createHttpServer() : createHttpsServer({ cert: file("certificate"), key: file("key") });
    const accepting = new WebSocketServer({
      server,
      maxPayload: MAX_MESSAGE_SIZE,
      // false: it accepts no offer that takes its context away, only the plain one that comes second.
      perMessageDeflate: compressionOptions(compression, false),
      handleProtocols: (offered) => subprotocols.find((name) => offered.has(name)) ?? false,
    });
    arrived = once(accepting, "connection").then(([connection]) => take(connection));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return { port: server.address().port };
  },

  async accepted() {
    await arrived;
    return about();
  },

  async connect({ url, compression, subprotocols, tls }) {
    take(
      new WebSocket(url, subprotocols, {
        maxPayload: MAX_MESSAGE_SIZE,
        // undefined: the server may decide. With false, ws would refuse what RFC 7692 lets servers answer.
        perMessageDeflate: compressionOptions(compression, undefined),
        ca: tls === null ? undefined : readFileSync(`${tls}/authority.pem`),
      }),
    );
    await once(ws, "open");
    return about();
  },

  send: ({ message }) => sent(decode(message), {}),

  async send_fragments({ messages }) {
    for (const [index, message] of messages.entries()) {
      await sent(decode(message), { binary: "binary" in messages[0], fin: index === messages.length - 1 });
    }
  },

  receive: () => (received.length ? received.shift() : new Promise((resolve) => waiting.push(resolve))),

  async ping() {
    ws.ping("are you there");
    await once(ws, "pong");
  },

  async close({ code, reason }) {
    ws.close(code, reason);
    if (ws.readyState !== WebSocket.CLOSED) await once(ws, "close");
  },

  reset() {
    ws?.terminate();
    server?.close();
    ws = server = undefined;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const { do: name, ...options } = JSON.parse(line);
    answer = { result: (await commands[name](options)) ?? null };
  } catch (error) {
    answer = { error: String(error.stack) };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
process.exit();
