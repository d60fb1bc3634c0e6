// Node's ws: `node of_ws.mjs FOLDER [options of job.py]`, with ws in FOLDER/node_modules.

import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createRequire } from "node:module";
import { parseArgs } from "node:util";

const require = createRequire(process.argv[2] + "/");
const { WebSocketServer } = require("ws");

const { values: asked } = parseArgs({
  args: process.argv.slice(3),
  options: {
    fanout: { type: "boolean", default: false },
    compress: { type: "boolean", default: false },
    keepalive: { type: "string" },
    tls: { type: "string" },
  },
});

const file = (name) => readFileSync(`${asked.tls}/${name}.pem`);
const server = asked.tls ? createHttpsServer({ cert: file("certificate"), key: file("key") }) : createHttpServer();
// Below its threshold of 1,024 bytes it would not compress at all.
const sockets = new WebSocketServer({ server, perMessageDeflate: asked.compress ? { threshold: 0 } : false });

sockets.on("connection", (ws) => {
  ws.on("error", () => {});
  ws.on("message", (data, binary) => {
    if (!asked.fanout) ws.send(data, { binary });
    else for (const each of sockets.clients) each.send(data, { binary });
  });
});

// The way its documentation detects broken connections.
if (asked.keepalive) {
  sockets.on("connection", (ws) => {
    ws.isAlive = true;
    ws.on("pong", () => (ws.isAlive = true));
  });
  setInterval(() => {
    for (const ws of sockets.clients) {
      if (!ws.isAlive) ws.terminate();
      ws.isAlive = false;
      ws.ping();
    }
  }, 1000 * Number(asked.keepalive));
}

server.listen(0, "127.0.0.1", 4096, () => {
  const versions = { ws: require("ws/package.json").version, Node: process.versions.node };
  console.log(JSON.stringify({ port: server.address().port, versions }));
});
