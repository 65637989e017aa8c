import type { FullResult, Reporter, TestCase, TestResult } from '@playwright/test/reporter';

/** Two lines at the end that `./dev test` counts, as node's own runner writes them. */
export default class TapReporter implements Reporter {
  #passed = 0;
  #failed = 0;

  onTestEnd(test: TestCase, result: TestResult): void {
    // Of a test that is tried again only the last time counts.
    if (result.retry < test.retries && result.status !== 'passed') return;
    if (result.status === 'passed') this.#passed += 1;
    // A skipped test is one that did not run: it counts as failed, so that nobody overlooks it.
    else this.#failed += 1;
  }

  onEnd(_result: FullResult): void {
    process.stdout.write(`\n# pass ${this.#passed}\n# fail ${this.#failed}\n`);
  }

  printsToStdio(): boolean {
    return false;
  }
}
