// Real git repositories: a person's, and the clone in which an agent of the seeded history worked.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const WHO = { GIT_AUTHOR_NAME: 'Crew', GIT_AUTHOR_EMAIL: 'crew@trailhead.example', GIT_COMMITTER_NAME: 'Crew', GIT_COMMITTER_EMAIL: 'crew@trailhead.example', GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null' };

export function git(folder: string, ...words: string[]): string {
  return execFileSync('git', words, { cwd: folder, env: { ...process.env, ...WHO }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], maxBuffer: 64 << 20 }).trim();
}

/** A person's repository with one commit on `main`. */
export function newRepository(folder: string, files: Record<string, string | Buffer> | { from: string }): string {
  mkdirSync(folder, { recursive: true });
  git(folder, 'init', '-q', '-b', 'main');
  if (typeof files['from'] === 'string' && Object.keys(files).length === 1) cpSync(files['from'], folder, { recursive: true });
  else for (const [path, content] of Object.entries(files)) write(join(folder, path), content);
  git(folder, 'add', '-A');
  git(folder, 'commit', '-q', '-m', 'Begin');
  return folder;
}

export function write(path: string, content: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
}

/** What an agent's sandbox has: a clone on the run's branch. */
export function cloneFor(repository: string, folder: string, branch: string): string {
  git(dirname(repository), 'clone', '-q', repository, folder);
  git(folder, 'checkout', '-q', '-b', branch);
  return folder;
}

/** Commits everything and bundles the branch, as it leaves a sandbox. */
export function bundle(folder: string, branch: string, message: string): string {
  git(folder, 'add', '-A');
  git(folder, 'commit', '-q', '-m', message);
  const file = `${folder}.bundle`;
  git(folder, 'bundle', 'create', '-q', file, branch);
  return file;
}

export function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
