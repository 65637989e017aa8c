import { fileURLToPath } from 'node:url';
import tailwind from '@tailwindcss/vite';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// `NIGHTSHIFT_URL` is the owner that `npm run dev` talks to; owner.json has its address.
const owner = process.env.NIGHTSHIFT_URL ?? 'http://127.0.0.1:7727';

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  plugins: [react(), tailwind()],
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  build: {
    // WebKitGTK 2.44 and newer, which the desktop window uses, and every browser of the last two years.
    target: 'es2022',
    // Nothing is put into the page as a data: URL or an inline script, so the strictest content policy holds.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: { '/api': { target: owner, ws: true, changeOrigin: true, headers: { origin: owner } } },
  },
});
