/* A service as Node programs are: node:http, WebSocket echo and SSE, no package.
 *
 *     node backend.mjs PORT NAME
 *
 * /hello, /echo (headers and body size as JSON), /sse (three events, the later
 * ones when POST /next comes), upgrade on /ws: WebSocket echo. */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const port = Number(process.argv[2]);
const name = process.argv[3] ?? 'node';
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const waiting = [];

const server = createServer((request, response) => {
    const path = request.url.split('?')[0];
    if (path === '/sse') {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        response.write('data: event 0\n\n');
        let sent = 1;
        waiting.push(() => {
            response.write(`data: event ${sent}\n\n`);
            sent += 1;
            return sent < 3 ? true : (response.end(), false);
        });
        return;
    }
    if (path === '/next') {
        const again = waiting.splice(0).filter((step) => step());
        waiting.push(...again);
        response.end('ok\n');
        return;
    }
    if (path === '/echo') {
        const hash = createHash('sha256');
        let size = 0;
        request.on('data', (piece) => { hash.update(piece); size += piece.length; });
        request.on('end', () => {
            response.writeHead(200, { 'content-type': 'application/json' });
            response.end(JSON.stringify({
                name, method: request.method, target: request.url, headers: request.headers,
                rawHeaders: request.rawHeaders, size, sha256: hash.digest('hex'),
                trailers: request.trailers,
            }));
        });
        return;
    }
    response.writeHead(path === '/' || path === '/hello' ? 200 : 404,
        { 'content-type': 'text/plain' });
    response.end(`hello from ${name}\n`);
});

function frameEncode(opcode, payload) {
    const long = payload.length > 65535;
    const head = Buffer.alloc(payload.length < 126 ? 2 : long ? 10 : 4);
    head[0] = 0x80 | opcode;
    head[1] = payload.length < 126 ? payload.length : long ? 127 : 126;
    if (long) {
        head.writeBigUInt64BE(BigInt(payload.length), 2);
    } else if (payload.length >= 126) {
        head.writeUInt16BE(payload.length, 2);
    }
    return Buffer.concat([head, payload]);
}

/* One whole frame off the front of `data`, or null. */
function frameDecode(data) {
    if (data.length < 2) {
        return null;
    }
    let size = data[1] & 0x7f;
    let at = 2;
    if (size === 126) {
        if (data.length < 4) { return null; }
        size = data.readUInt16BE(2);
        at = 4;
    } else if (size === 127) {
        if (data.length < 10) { return null; }
        size = Number(data.readBigUInt64BE(2));
        at = 10;
    }
    if (data.length < at + 4 + size) {
        return null;
    }
    const mask = data.subarray(at, at + 4);
    const payload = Buffer.from(data.subarray(at + 4, at + 4 + size));
    for (let i = 0; i < payload.length; i += 1) {
        payload[i] ^= mask[i & 3];
    }
    return { opcode: data[0] & 0x0f, payload, used: at + 4 + size };
}

server.on('upgrade', (request, socket, first) => {
    if (request.url.split('?')[0] !== '/ws') {
        socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
        return;
    }
    const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + GUID)
        .digest('base64');
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n' +
        `Connection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    let pending = Buffer.from(first);
    socket.on('error', () => socket.destroy());
    socket.on('data', (piece) => {
        pending = Buffer.concat([pending, piece]);
        for (let frame = frameDecode(pending); frame !== null; frame = frameDecode(pending)) {
            pending = pending.subarray(frame.used);
            socket.write(frameEncode(frame.opcode === 9 ? 10 : frame.opcode, frame.payload));
            if (frame.opcode === 8) {
                socket.end();
            }
        }
    });
});

server.listen(port, '127.0.0.1', () => console.log(`listening on ${port}`));
