// Every shortcut, once: the help shows this list, the guide in docs/app.md has the same.

export interface Shortcut {
  keys: string;
  does: string;
}

export const SHORTCUTS: readonly { where: string; list: readonly Shortcut[] }[] = [
  {
    where: 'Everywhere',
    list: [
      { keys: 'ctrl+k', does: 'Go anywhere, do anything' },
      { keys: 'n', does: 'New task' },
      { keys: 'g h', does: 'Home' },
      { keys: 'g r', does: 'Review' },
      { keys: 'g i', does: 'History' },
      { keys: 'g t', does: 'Statistics' },
      { keys: 'g e', does: 'Environments' },
      { keys: 'g a', does: 'Agents' },
      { keys: 'g s', does: 'Settings' },
      { keys: 'g d', does: 'Doctor' },
      { keys: 't', does: 'Dark or light' },
      { keys: '?', does: 'These shortcuts' },
    ],
  },
  {
    where: 'Lists',
    list: [
      { keys: 'j', does: 'Next' },
      { keys: 'k', does: 'Previous' },
      { keys: 'enter', does: 'Open' },
      { keys: '/', does: 'Search' },
    ],
  },
  {
    where: 'Run',
    list: [
      { keys: '1', does: 'Screen' },
      { keys: '2', does: 'Terminal' },
      { keys: '3', does: 'Diff' },
      { keys: '4', does: 'Files' },
      { keys: 'j', does: 'One step on' },
      { keys: 'k', does: 'One step back' },
      { keys: ',', does: 'Picture before' },
      { keys: '.', does: 'Next picture' },
      { keys: 'r', does: 'Play the recording' },
      { keys: 'l', does: 'Back to now' },
      { keys: 'm', does: 'Write to the agent' },
      { keys: 'ctrl+enter', does: 'Interrupt, with what you wrote' },
      { keys: 'p', does: 'Pause or continue' },
      { keys: 'o', does: 'Take over or hand back' },
      { keys: 'f', does: 'Full screen' },
      { keys: 'a', does: 'All attempts side by side' },
      { keys: 'f6', does: 'Out of the screen or shell you type in' },
    ],
  },
  {
    where: 'Review',
    list: [
      { keys: 'j', does: 'Next file' },
      { keys: 'k', does: 'Previous file' },
      { keys: 'e', does: 'Evidence' },
      { keys: 'd', does: 'Diff' },
      { keys: 's', does: 'Split or unified diff' },
      { keys: 'a', does: 'All attempts side by side' },
      { keys: 'ctrl+enter', does: 'Send the comment' },
    ],
  },
];
