// Commands that a person copies into a shell of their own. What they name was named by others: a branch may be called
// `a;b` or `$(c)`, and a folder may have a space in it.

/** What no shell reads as anything but itself, wherever it stands in a word. */
const PLAIN = /^[A-Za-z0-9_/.,:@+-]+$/;

/** A text as one word of a POSIX shell. */
export function quoted(text: string): string {
  return PLAIN.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The git command that takes a branch out of a repository that is a folder. */
export function takeBranch(command: 'pull' | 'fetch', repository: string, branch: string): string {
  // A name that begins as an option does would be one.
  return `git ${command} ${quoted(repository)} ${quoted(branch.startsWith('-') ? `refs/heads/${branch}` : branch)}`;
}
