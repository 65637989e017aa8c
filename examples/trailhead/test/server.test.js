import assert from 'node:assert/strict';
import http from 'node:http';
import test, { after, before } from 'node:test';

import { createServer } from '../server.js';

const server = createServer();
before(() => new Promise((resolve) => server.listen(0, '127.0.0.1', resolve)));
after(() => new Promise((resolve) => server.close(resolve)));

// fetch would tidy up the path before sending it.
function ask(path, method = 'GET') {
  return new Promise((resolve, reject) => {
    const request = http.request({ host: '127.0.0.1', port: server.address().port, path, method, agent: false });
    request.on('error', reject).end();
    request.on('response', (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
  });
}

for (const [path, type] of [
  ['/', 'text/html; charset=utf-8'],
  ['/index.html?from=mail', 'text/html; charset=utf-8'],
  ['/styles.css', 'text/css; charset=utf-8'],
  ['/app.js', 'text/javascript; charset=utf-8'],
  ['/icon.svg', 'image/svg+xml'],
]) {
  test(`${path} is served as ${type}`, async () => {
    const { status, headers } = await ask(path);
    assert.deepEqual(
      [status, headers['content-type'], headers['cache-control'], headers['x-content-type-options']],
      [200, type, 'no-store', 'nosniff'],
    );
  });
}

test('the page is the page', async () => {
  assert.match((await ask('/')).body, /<title>Trailhead<\/title>/);
});

for (const [path, status] of [
  ['/../package.json', 403],
  ['/%2e%2e/package.json', 403],
  ['/..%2fserver.js', 403],
  ['/%2e%2e%2f%2e%2e%2fetc/passwd', 403],
  ['/../src-old/secret.txt', 403],
  ['/app.js%00.html', 400],
  ['/%zz', 400],
  ['*', 400],
  ['/absent.js', 404],
  ['/absent/', 404],
  ['/app.js/', 404],
]) {
  test(`${path} is answered with ${status}`, async () => {
    const answer = await ask(path);
    assert.deepEqual([answer.status, answer.body], [status, `${status} ${http.STATUS_CODES[status]}\n`]);
  });
}

test('HEAD has the headers and no body', async () => {
  const page = await ask('/');
  const head = await ask('/', 'HEAD');
  assert.deepEqual([head.status, head.body], [200, '']);
  assert.equal(head.headers['content-length'], String(Buffer.byteLength(page.body)));
});

test('writing is refused', async () => {
  const { status, headers } = await ask('/', 'POST');
  assert.deepEqual([status, headers.allow], [405, 'GET, HEAD']);
});
