import { defineConfig } from '@playwright/test';

// Chromium is the system's: `./dev setup` installs it, and nothing is downloaded at test time.
const chromium = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

export default defineConfig({
  testDir: '.',
  testMatch: '**/*.spec.ts',
  outputDir: './output/traces',
  // One owner and one browser at a time: the machine may be small, and figures are taken.
  workers: 1,
  fullyParallel: false,
  timeout: 120_000,
  expect: { timeout: 15_000 },
  forbidOnly: true,
  // A busy host makes a browser late. A test that needed its second try is named as flaky.
  retries: 1,
  reporter: [['line'], ['./tap-reporter.ts']],
  use: {
    viewport: { width: 1280, height: 800 },
    colorScheme: 'dark',
    launchOptions: { executablePath: chromium, args: ['--no-sandbox', '--disable-gpu', '--force-color-profile=srgb'] },
    trace: 'retain-on-failure',
    actionTimeout: 15_000,
  },
});
