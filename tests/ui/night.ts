// A night's history: runs in every state, with real repositories, pull requests, pictures and commands.

import { mkdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from './programs';
import { bundle, cloneFor, newRepository, readText, write } from './repository';
import { edited, photograph } from './screens';
import { Seeder } from './seeder';
import { type Picture, type Received, RunWriter, type Tallies, type TaskFacts } from './story-writer';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

/** What is in a text that means harm. None of it may run, and none may break the page. */
export const HOSTILE = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script> "onmouseover="window.harmed=1 ‮drawkcab';

interface Place {
  source: string;
  commit: string;
  branch: string;
  folder: string;
}

/** A definition of an agent, as a file has it. */
export const agentDefinition = (name: string, description: string, more = '') => `---\nname: ${name}\ndescription: ${JSON.stringify(description)}\n${more}---\n\nDo it.\n`;

/** Builds histories in one home. */
export class Night {
  readonly #seeder: Seeder;
  readonly #home: string;
  readonly #folder: string;
  readonly #now = Date.now();
  #pictures = new Map<string, Picture>();

  constructor(home: string) {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    this.#seeder = new Seeder(home);
    this.#home = home;
    this.#folder = join(home, 'work');
    mkdirSync(this.#folder, { recursive: true });
  }

  async end(): Promise<void> {
    await this.#seeder.end();
  }

  async #repository(name: string, files: Record<string, string | Buffer> | { from: string }): Promise<Place> {
    const folder = newRepository(join(this.#folder, name), files);
    const answer = await this.#seeder.send<{ commit: string; branch: string; source: string }>({ type: 'import', repository: folder });
    return { ...answer, folder };
  }

  async #artifact(file: string, mediaType: string): Promise<string> {
    return (await this.#seeder.send<{ id: string }>({ type: 'artifact', file, mediaType })).id;
  }

  async #text(name: string, text: string | null): Promise<string | null> {
    if (text === null) return null;
    const file = join(this.#folder, `text-${name}`);
    write(file, text);
    return this.#artifact(file, 'text/plain');
  }

  async #picture(file: string): Promise<Picture> {
    const known = this.#pictures.get(file);
    if (known !== undefined) return known;
    const picture = { artifact: await this.#artifact(file, 'image/png'), mediaType: 'image/png', width: 1280, height: 800 };
    this.#pictures.set(file, picture);
    return picture;
  }

  #run(word: string, facts: TaskFacts, ago: number): RunWriter {
    return new RunWriter(this.#seeder, word, facts, this.#now - ago);
  }

  async #deliver(run: RunWriter, place: Place, clone: string, title: string, summary: string, notVerified = '', tallies: Tallies = {}): Promise<number> {
    const file = bundle(clone, run.branch, title);
    const received = await this.#seeder.send<Received>({ type: 'receive', source: place.source, branch: run.branch, base: place.commit, bundle: file });
    return run.delivers(title, summary, notVerified, received, tallies);
  }

  /** Everything the screenshots and the journeys need. */
  async rich(): Promise<void> {
    const screens = await photograph(join(tmpdir(), 'nightshift-screens'));
    const screen = (name: string) => this.#picture(join(screens, `${name}.png`));
    const trailhead = await this.#repository('trailhead', { from: join(ROOT, 'examples/trailhead') });
    const depot = await this.#repository('depot', {
      'README.md': '# Depot\n',
      'AGENTS.md': '# Depot\n\n## Which agent for what\n\n- Every change is read by `reviewer` before it is committed.\n- What has to be found in more than three files is looked for by `explorer`.\n',
      '.nightshift/agents/reviewer.md': agentDefinition('reviewer', 'Use it after every change: it reads the diff, runs the tests that the change touches, and says what is wrong, the gravest first.', 'tools: [Read, Grep, Bash]\nmodel: opus\nmaxTurns: 20\nmaxCents: 50\n'),
      '.claude/agents/explorer.md': agentDefinition('explorer', 'Finds where something is done in the code, and answers with files and lines.', 'tools: [Read, Grep, Glob]\nmodel: haiku\nbackground: true\n'),
      '.claude/agents/reviewer.md': agentDefinition('reviewer', 'Reads a diff.'),
      '.claude/agents/migrator.md': agentDefinition('migrator', 'Writes a migration of the database and tries it both ways.', 'tools: [Read, Bsh, Edit]\nowner: storage team\n'),
      '.claude/agents/translator.md': agentDefinition('translator', 'Translates texts, in the tone of those that are there.', 'max-turns: 12\n'),
 'crates/depot/src/retry.rs': 'pub fn wait(attempt: u32) -> u64 {\n    400\n}\n', 'locales/de.json': '{}\n', 'logo.bin': Buffer.from([0, 1, 2, 3, 0, 255]),
    });
    // The person's own, beside the configuration and where other tools have theirs.
    write(join(this.#home, '.claude/agents/plain-words.md'), agentDefinition('plain-words', 'Rewrites what people read so that it says what it means.', 'tools: [Read, Edit]\n'));
    write(join(this.#home, '.claude/agents/release-notes.md'), '---\nname: release-notes\ndescription: Writes the notes of a release: what a person notices\n---\n\nWrite them.\n');

    const ledger = await this.#repository('ledger', { 'README.md': '# Ledger\n', 'src/invoice.ts': 'export const overdue = (days: number) => days > 30;\n' });
    newRepository(join(this.#folder, 'orchard'), { 'README.md': '# Orchard\n', '.nightshift/environment.toml': 'steps = [{ name = "plant", run = "make trees" }]\nchecks = ["make check"]\n' });
    const at = (place: Place, description: string, dollars = 10): TaskFacts => ({ description, repository: place.source, baseBranch: place.branch, baseCommit: place.commit, dollars });
    await this.#older(at(depot, ''), at(ledger, ''), at(trailhead, ''));
    await this.#mergedOnes(ledger, at(ledger, ''), await screen('invoices'));
    await this.#darkMode(trailhead, at(trailhead, 'Add a dark mode toggle that persists to localStorage\n\n## Acceptance criteria\n\n- A toggle at the top right switches the page to dark\n- The choice persists after a reload\n- All tests pass\n- The toggle can be reached and used by keyboard\n\n## Tests to run\n\nnpm test\n\n## Constraints\n\nNo new dependencies.'));
    await this.#flaky(depot, at(depot, 'Fix the flaky retry test\n\n## Acceptance criteria\n\n- The retry test passes 200 times in a row\n- No other test is changed'), await screen('terminal'));

    const asking = await (await this.#run('ask', at(depot, 'Translate the error pages into German and French'), 95 * MINUTE).submitted()).begins();
    await asking.turn('I look at how texts are looked up before I decide.', [{ tool: 'shell', input: {} }]);
    await asking.plan(['Find where texts come from', 'Add German and French files', 'Check the pages in the browser', 'Commit'], 1);
    await asking.shell('grep -rn "error\\." src | head', 'src/pages/error.tsx:12: t("error.notFound")\nsrc/pages/error.tsx:19: t("error.server")');
    await asking.step('computer', { action: 'screenshot' }, { picture: await screen('login') });
    await asking.turn('', [{ tool: 'ask', input: {} }]);
    asking.pass(20);
    const question = 'Two of the error texts address the reader. Should German use "Sie" or "du"? The login page uses "Sie" everywhere, the newer profile pages use "du". I would take "Sie", as it is on the pages people see first.';
    // The tool call that asks is under way until a person answers.
    await asking.append({ type: 'stepIntended', step: '2.1', call: { id: 'call_2_1', name: 'ask', input: { question } } }, { type: 'stateChanged', state: { type: 'waiting', question } });

    const limited = await (await this.#run('cap', at(ledger, 'Raise coverage of the invoice module to 90 %', 3), 200 * MINUTE).submitted()).begins();
    await limited.turn('The module has three branches without a test.', [{ tool: 'shell', input: {} }]);
    await limited.plan(['Measure coverage', 'Test overdue invoices', 'Test credit notes', 'Test rounding', 'Run everything'], 3);
    await limited.shell('npm run coverage', 'src/invoice.ts | 71.4 | 62.5 | 80 | 71.4 |', 0, 9);
    await limited.pass(1_900).state({ type: 'paused', reason: { type: 'limit', limit: '$3.00: $2.94 are spent and the next call may cost $0.11. Raise it with --budget to go on.' } });
    await limited.stops('the run is paused');

    const troubled = await (await this.#run('key', at(trailhead, 'Show trail names on the printed list'), 150 * MINUTE).submitted()).begins();
    await troubled.turn('', [{ tool: 'shell', input: {} }]);
    await troubled.shell('npm test', '# pass 14\n# fail 0');
    await troubled.pass(300).state({ type: 'paused', reason: { type: 'trouble', error: { code: 'wrongKey', message: 'the provider refused the key', hint: 'Set another one in the settings, then continue the run.' } } });
    await troubled.stops('the run is paused');

    await this.#working('wrk1', at(depot, 'Wait twice as long before each further attempt\n\n## Acceptance criteria\n\n- The third attempt waits 800 ms'), 22 * MINUTE, ['Read the retry code', 'Reproduce the wrong wait', 'Change the back-off', 'Test with a clock of its own', 'Run everything', 'Commit'], 2, await screen('terminal'));
    await this.#working('wrk2', at(ledger, 'Mark overdue invoices in the list'), 41 * MINUTE, ['Look at the list', 'Add the mark', 'Check it in the browser', 'Commit'], 2, await screen('invoices'));
    await this.#working('wrk3', at(trailhead, 'Chart requests per minute on the status page'), 9 * MINUTE, ['Read the status page', 'Collect the numbers', 'Draw the chart', 'Check it in the browser', 'Write tests', 'Commit', 'Tidy up'], 1, await screen('chart'));

    for (const [index, description] of ['Bring all dependencies to their newest minor version', 'Remove the old export format', 'Log in with a passkey', 'Sort the work list by distance'].entries()) {
      const queued = await this.#run(`wait${index}`, at([depot, ledger, trailhead, trailhead][index] ?? depot, description), (28 - index * 5) * MINUTE).submitted();
      await queued.pass(1).state({ type: 'queued', reason: { type: 'sandboxLimit', limit: 3 } });
    }
    const paused = await (await this.#run('rest', at(ledger, 'Rewrite the importer in Rust'), 5 * HOUR).submitted()).begins();
    await paused.pass(240).state({ type: 'paused', reason: { type: 'person' } });
    await paused.stops('the run is paused');

    const failed = await (await this.#run('broke', at(ledger, 'Print invoices on A5 paper'), 170 * MINUTE).submitted()).begins();
    await failed.turn('', [{ tool: 'shell', input: {} }]);
    await failed.shell('npm run print -- --a5', 'Error: no printer driver', 1, 4);
    await failed.pass(100).stops('the machine died');
    await failed.state({ type: 'failed', reason: { error: { code: 'sandboxFailed', message: 'the sandbox ended: QEMU was killed by the kernel for want of memory', hint: 'Lower `sandboxes` in the configuration, then submit the task again.' } } });
    await this.#hostile(trailhead, at(trailhead, `${HOSTILE}\n\n## Acceptance criteria\n\n- ${HOSTILE}`));
    const cancelled = await (await this.#run('gave', at(depot, 'Try another logger'), 260 * MINUTE).submitted()).begins();
    await cancelled.pass(70).stops('the run was cancelled');
    await cancelled.state({ type: 'cancelled' });
  }

  async #working(word: string, facts: TaskFacts, ago: number, plan: readonly string[], done: number, picture: Picture): Promise<void> {
    const run = await (await this.#run(word, facts, ago).submitted()).begins();
    await run.turn('I read the code and the tests around it first.', [{ tool: 'plan', input: {} }, { tool: 'shell', input: {} }, { tool: 'computer', input: {} }]);
    await run.plan(plan, 0);
    await run.shell('git log --oneline | head -5 && ls', '4f1c2aa Begin\nREADME.md\nsrc', 0, 1.2);
    await run.step('computer', { action: 'screenshot' }, { picture, seconds: 0.3 });
    for (let index = 1; index <= done; index += 1) {
      await run.pass(110).turn(index === 1 ? 'That explains it. I change it and look again.' : '', [{ tool: 'plan', input: {} }, { tool: 'shell', input: {} }, { tool: 'computer', input: {} }]);
      await run.plan(plan, index);
      await run.shell('cargo nextest run -p depot retry', 'FAIL depot::retry the_third_attempt_waits_longer\n  left: 400ms\n right: 800ms', index === done ? 0 : 100, 3.4);
      await run.step('computer', { action: 'left_click', coordinate: [640, 244 + index * 40] }, { picture, seconds: 0.6 });
    }
    await run.append({ type: 'personSaid', text: 'Please keep the public function as it is.' });
    await run.pass(3).thinks();
  }

  async #darkMode(place: Place, facts: TaskFacts): Promise<void> {
    const script = JSON.parse(readFileSync(join(ROOT, 'examples/dark-mode/script.json'), 'utf8')) as { turns: { say?: string; calls: { tool: string; input: Record<string, unknown> }[] }[] };
    const before = await this.#picture(join(tmpdir(), 'nightshift-screens/before.png'));
    const after = await this.#picture(join(tmpdir(), 'nightshift-screens/after.png'));
    const run = await (await this.#run('dark', facts, 190 * MINUTE).submitted()).begins();
    const clone = cloneFor(place.folder, join(this.#folder, 'dark-clone'), run.branch);
    let looked = before;
    const steps: Record<string, string> = {};
    for (const turn of script.turns) {
      await run.pass(14).turn(turn.say ?? '', turn.calls);
      for (const { tool, input } of turn.calls) {
        if (tool === 'edit') await this.#edit(run, clone, input);
        else if (tool === 'plan') {
          const plan = input as { steps: { title: string; state: string }[] };
          await run.step('plan', plan, { text: 'Recorded.', seconds: 0.01 });
          await run.append({ type: 'planChanged', plan });
        } else if (tool === 'shell') {
          const command = String(input['command']);
          const tests = command.includes('npm test') || command.includes('npm run');
          const step = await run.shell(command, tests ? TESTS : command.includes('git commit') ? `[${run.branch} 8c1f0d2] Add a dark mode toggle` : '', 0, tests ? 4.2 : 0.8);
          if (command === 'npm test') steps['tests'] = step;
        } else if (tool === 'computer') {
          if (input['action'] === 'left_click' && !Array.isArray(input['coordinate'])) {
            looked = after;
            input['coordinate'] = [1_212, 58];
          }
          const picture = ['screenshot', 'left_click', 'key'].includes(String(input['action'])) ? { picture: looked } : {};
          const step = await run.step('computer', input, { ...picture, seconds: 0.7 });
          if (input['action'] === 'screenshot') steps[looked === before ? (steps['before'] === undefined ? 'before' : 'toggle') : steps['after'] === undefined ? 'after' : 'reload'] ??= step;
        }
      }
      // The evidence of the script names its steps; here they have numbers of their own.
      if (turn.calls.some((call) => call.tool === 'evidence')) {
        const shot = (step: string | undefined, label: string, image: Picture) => ({ type: 'screenshot', step: step ?? '1.1', label, image });
        await run.prove('Before: the page is light and offers no other theme.', shot(steps['before'], 'before', before));
        await run.prove('The toggle at the top right switches the page to dark.', shot(steps['after'], 'after', after));
        await run.prove('The choice persists: after a reload the page is still dark.', shot(steps['reload'] ?? steps['after'], 'after reload', after));
        await run.prove('All tests pass, among them the new ones of the theme.', { type: 'command', step: steps['tests'] ?? '1.3', command: 'npm test', exitCode: 0, outputTail: TESTS });
      }
    }
    await this.#deliver(run, place, clone, 'Add a dark mode toggle that persists to localStorage', 'A button at the top right switches between light and dark. The choice is kept in localStorage and read before the first paint, so a reload does not flash. The theme is a pure module with tests; look at `src/theme.js` first.', 'Whether the colours suit people who see little contrast.');
  }

  async #edit(run: RunWriter, clone: string, input: Record<string, unknown>): Promise<void> {
    const path = String(input['path']);
    const file = join(clone, path);
    const old = readText(file);
    const text = edited(old ?? '', input);
    write(file, text);
    const before = await this.#text(`${run.word}-before`, old);
    const after = await this.#text(`${run.word}-after`, text);
    await run.step('edit', input, { text: 'Written.', seconds: 0.1, write: { path: `/home/agent/trailhead/${path}`, before, after } });
  }

  async #flaky(place: Place, facts: TaskFacts, picture: Picture): Promise<void> {
    const run = await (await this.#run('retry', facts, 130 * MINUTE).submitted()).begins();
    const clone = cloneFor(place.folder, join(this.#folder, 'flaky-clone'), run.branch);
    await run.turn('I run the test often enough to see it fail.', [{ tool: 'shell', input: {} }]);
    const failing = await run.shell('for i in $(seq 200); do cargo nextest run retry -q || break; done', 'attempt 37 failed: left 400ms, right 800ms', 100, 48);
    await run.step('computer', { action: 'screenshot' }, { picture });
    await run.turn('The test sleeps by the wall clock. I pass the clock in.', [{ tool: 'edit', input: {} }]);
    write(join(clone, 'crates/depot/src/retry.rs'), 'pub fn wait(attempt: u32) -> u64 {\n    400 << attempt.min(6)\n}\n');
    write(join(clone, 'logo.bin'), Buffer.from([0, 9, 9, 9, 0, 1]));
    const passing = await run.shell('for i in $(seq 200); do cargo nextest run retry -q || break; done; echo passed $i times', 'passed 200 times', 0, 51);
    await run.prove('The retry test passes 200 times in a row.', { type: 'command', step: passing, command: 'for i in $(seq 200); do cargo nextest run retry -q || break; done; echo passed $i times', exitCode: 0, outputTail: 'passed 200 times' });
    await run.prove('It failed before.', { type: 'command', step: failing, command: 'for i in $(seq 200); do cargo nextest run retry -q || break; done', exitCode: 100, outputTail: 'attempt 37 failed: left 400ms, right 800ms' });
    await run.append({ type: 'selfReviewBegun', round: 1, head: 'd'.repeat(40), system: 'You are a critic.', message: { type: 'user', content: [{ type: 'text', text: 'Look.' }] } });
    await run.turn('I look at which tests the diff touches.', [{ tool: 'shell', input: {} }]);
    const touched = await run.shell('git diff --stat HEAD~1 -- crates/depot/tests', ' crates/depot/tests/queue.rs | 2 +-', 0, 1);
    const found = (criterion: number, verdict: string, words: string) => ({ criterion, verdict, words, evidence: { type: 'command', step: touched, command: 'git diff --stat HEAD~1 -- crates/depot/tests', exitCode: 0, outputTail: ' crates/depot/tests/queue.rs | 2 +-' } });
    await run.append({ type: 'selfReviewed', review: { round: 1, of: 1, verdicts: [found(1, 'met', 'It passed 200 times.'), found(2, 'notMet', 'The queue test is changed too.')], words: '', outcome: { type: 'disagreed' } } });
    await this.#deliver(run, place, clone, 'Fix the flaky retry test', 'The wait doubles with each attempt now. The test was right; the code was not.');
  }

  async #mergedOnes(place: Place, facts: TaskFacts, picture: Picture): Promise<void> {
    for (const [index, title] of ['Round invoice totals to whole cents', 'Show the due date in the list', 'Warn before an invoice is deleted', 'Export invoices as CSV', 'Keep the filter when going back'].entries()) {
      const run = await (await this.#run(`past${900 + index}`, { ...facts, description: title }, (11 - index * 1.7) * HOUR).submitted()).begins();
      const clone = cloneFor(place.folder, join(this.#folder, `done-${index}`), run.branch);
      await run.turn('Small and clear.', [{ tool: 'shell', input: {} }]);
      const tests = await run.pass(60 * (12 + index * 7)).shell('npm test', TESTS, 0, 6);
      await run.step('computer', { action: 'screenshot' }, { picture });
      write(join(clone, `src/change-${index}.ts`), `export const change = ${index};\n`);
      await run.prove('All tests pass.', { type: 'command', step: tests, command: 'npm test', exitCode: 0, outputTail: TESTS });
      const number = await this.#deliver(run, place, clone, title, `${title}. Nothing else changes.`);
      run.pass(60 * (20 + index * 9));
      if (index === 3) await run.closes(number);
      else await run.merges(number);
    }
  }

  async #hostile(place: Place, facts: TaskFacts): Promise<void> {
    const run = await (await this.#run('harm', facts, 9.4 * HOUR).submitted()).begins();
    const clone = cloneFor(place.folder, join(this.#folder, 'evil-clone'), run.branch);
    await run.turn(`${HOSTILE}\n\n[a link](javascript:window.harmed=1) ![x](https://evil.example/x.png)\n\n${'W'.repeat(4_000)}`, [{ tool: 'shell', input: {} }]);
    const step = await run.shell(`echo '${HOSTILE}'`, `\u001b]0;${HOSTILE}\u0007\u001b[31m${HOSTILE}\u001b[0m\r\noverwritten\rshown ${'x'.repeat(20_000)}`);
    await run.prove(HOSTILE, { type: 'command', step, command: `echo '${HOSTILE}'`, exitCode: 0, outputTail: HOSTILE });
    write(join(clone, 'src/<script>alert(1)<.js'), `${HOSTILE}\n${'long '.repeat(20_000)}\n`);
    const number = await this.#deliver(run, place, clone, HOSTILE.slice(0, 150), HOSTILE, HOSTILE);
    await run.pass(200).closes(number);
  }

  /** Finished long ago: what makes a list long. */
  async #older(...places: TaskFacts[]): Promise<void> {
    const titles = ['Update the changelog', 'Sort imports', 'Add a health check', 'Speed up the search', 'Name the build in the footer', 'Fix a typo in the invoice mail', 'Retry the upload', 'Cache the avatars'];
    for (let index = 0; index < 60; index += 1) {
      const facts = places[index % places.length] as TaskFacts;
      const run = await this.#run(`past${String(index).padStart(3, '0')}`, { ...facts, description: `${titles[index % titles.length] ?? 'Change'} (${index + 1})` }, (26 + (60 - index) * 5) * HOUR).submitted();
      await run.pass(600 + index * 13).state(index % 9 === 4 ? { type: 'failed', reason: { error: { code: 'sandboxFailed', message: 'the sandbox ended', hint: 'Submit it again.' } } } : { type: 'cancelled' });
    }
  }

  /** A run in which very much was said, and that a person paused: what is written to it waits. */
  async talkative(messages: number): Promise<string> {
    const place = await this.#repository('lighthouse', { 'README.md': '# Lighthouse\n' });
    const facts: TaskFacts = { description: 'Log every lamp', repository: place.source, baseBranch: place.branch, baseCommit: place.commit, dollars: 100 };
    const run = await (await this.#run('ta1k', facts, 6 * HOUR).submitted()).begins();
    // Some are short and some are long: heights that nobody knows before they are drawn.
    const words = Array.from({ length: messages }, (_, index) => `Message ${index + 1}: the lantern is lit.${index % 3 === 0 ? `\n\n${'It was cleaned, and its log was read to the end. '.repeat(1 + (index % 7))}` : ''}`);
    await run.talks(words);
    await run.pass(10).state({ type: 'paused', reason: { type: 'person' } });
    await run.stops('the run is paused');
    return run.run;
  }

  /** Three attempts at one task: one that did all, one that left something out, and one that is still at it. */
  async attempts(): Promise<{ task: string; runs: readonly [string, string, string] }> {
    const screens = await photograph(join(tmpdir(), 'nightshift-screens'));
    const picture = (name: string) => this.#picture(join(screens, `${name}.png`));
    const place = await this.#repository('summit', { from: join(ROOT, 'examples/trailhead') });
    const description = 'Follow the dark mode of the system\n\n## Acceptance criteria\n\n- The page is dark where the system is\n- The choice persists after a reload\n- All tests pass';
    const begin = async (number: number) => {
      const facts: TaskFacts = { description, repository: place.source, baseBranch: place.branch, baseCommit: place.commit, attempt: { task: 'summit', number, of: 3 } };
      return (await this.#run(`try${number}`, facts, (80 - number) * MINUTE).submitted()).begins();
    };
    const deliver = async (run: RunWriter, name: string, dark: Picture, exitCode: number, tallies: Tallies) => {
      const clone = cloneFor(place.folder, join(this.#folder, `${run.word}-clone`), run.branch);
      await run.turn('I look at how colours are set.', [{ tool: 'shell', input: {} }]);
      const tests = await run.pass(200).shell('npm test', TESTS, exitCode, 5);
      const step = await run.step('computer', { action: 'screenshot' }, { picture: dark });
      await run.prove('The page is dark where the system is.', { type: 'screenshot', step, label: 'dark', image: dark });
      await run.prove('All tests pass.', { type: 'command', step: tests, command: 'npm test', exitCode, outputTail: TESTS });
      write(join(clone, `src/${name}.js`), `export const scheme = () => '${name}';\n`.repeat(run.word === 'try1' ? 40 : 9));
      await this.#deliver(run, place, clone, 'Follow the dark mode of the system', `The page follows the system, by ${name}.`, '', tallies);
    };
    const [first, second] = [await begin(1), await begin(2)];
    await deliver(first, 'script', await picture('before'), 1, { checks: { passed: 0, failed: 1 }, critic: { met: 1, notMet: 2, notVerifiable: 0, of: 3 } });
    await deliver(second, 'media-query', await picture('after'), 0, { checks: { passed: 1, failed: 0 }, critic: { met: 3, notMet: 0, notVerifiable: 0, of: 3 } });
    const third = await begin(3);
    await third.turn('I read the style sheet first.', [{ tool: 'plan', input: {} }, { tool: 'computer', input: {} }]);
    await third.plan(['Read the style sheet', 'Follow the system', 'Check it in the browser', 'Commit'], 1);
    await third.step('computer', { action: 'screenshot' }, { picture: await picture('before'), seconds: 0.3 });
    await third.pass(3).thinks();
    return { task: first.task, runs: [first.run, second.run, third.run] };
  }

  /** A pull request of more than ten megabytes. */
  async huge(): Promise<string> {
    const place = await this.#repository('monolith', { 'README.md': '# Monolith\n', 'generated/0.sql': 'select 1;\n' });
    const facts: TaskFacts = { description: 'Generate the fixtures anew', repository: place.source, baseBranch: place.branch, baseCommit: place.commit };
    const run = await (await this.#run('mega', facts, 30 * MINUTE).submitted()).begins();
    const clone = cloneFor(place.folder, join(this.#folder, 'huge-clone'), run.branch);
    await run.turn('', [{ tool: 'shell', input: {} }]);
    for (let file = 0; file < 40; file += 1) {
      write(join(clone, `generated/${file}.sql`), Array.from({ length: 3_600 }, (_, line) => `insert into parcel (id, street, weight) values (${file * 3_600 + line}, 'Street ${line}', ${line % 97});`).join('\n'));
    }
    await this.#deliver(run, place, clone, 'Generate the fixtures anew', 'All fixtures are generated again.');
    return run.run;
  }
}

const TESTS = `> trailhead@1.0.0 test
> node --test

✔ a note is kept over a reload (1.9ms)
✔ the theme is read before the first paint (0.6ms)
✔ an unknown theme falls back to light (0.3ms)
ℹ tests 17
ℹ pass 17
ℹ fail 0
ℹ duration_ms 118.4`;
