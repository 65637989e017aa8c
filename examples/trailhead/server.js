// Serves the files in src/ to this machine. It never serves anything outside that folder.

import { realpathSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('./src/', import.meta.url));
const HOST = '127.0.0.1';
const DEFAULT_PORT = 4173;

const CONTENT_TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** The status to answer with, and the file when there is one to try. */
export function locate(root, url) {
  let pathname;
  try {
    pathname = decodeURIComponent(url.split('?', 1)[0]);
  } catch {
    return { status: 400 };
  }
  if (!pathname.startsWith('/') || pathname.includes('\0')) return { status: 400 };

  const folder = path.resolve(root);
  const file = path.join(folder, pathname.endsWith('/') ? `${pathname}index.html` : pathname);
  if (!file.startsWith(folder + path.sep)) return { status: 403 };
  return { status: 200, file };
}

export function createServer(root = SOURCE) {
  return http.createServer(async (request, response) => {
    const refuse = (status, headers = {}) => {
      response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', ...headers });
      response.end(`${status} ${http.STATUS_CODES[status]}\n`);
    };

    if (request.method !== 'GET' && request.method !== 'HEAD') return refuse(405, { Allow: 'GET, HEAD' });
    const { status, file } = locate(root, request.url);
    if (status !== 200) return refuse(status);

    try {
      const body = await readFile(file);
      response.writeHead(200, {
        'Content-Type': CONTENT_TYPES[path.extname(file)] ?? 'application/octet-stream',
        'Content-Length': body.length,
        'Cache-Control': 'no-store',
        'X-Content-Type-Options': 'nosniff',
      });
      response.end(request.method === 'HEAD' ? undefined : body);
    } catch (error) {
      const absent = ['ENOENT', 'ENOTDIR', 'EISDIR', 'ENAMETOOLONG'].includes(error.code);
      refuse(absent ? 404 : 500);
    }
  });
}

// A symbolic link in the path must not keep the program from starting.
const startedDirectly = process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url);

if (startedDirectly) {
  const port = Number(process.env.PORT || DEFAULT_PORT);
  createServer()
    .on('error', (error) => {
      console.error(`Trailhead cannot listen on ${HOST}:${port}: ${error.message}`);
      process.exitCode = 1;
    })
    .listen(port, HOST, function () {
      console.log(`Trailhead is at http://${HOST}:${this.address().port}`);
    });
}
