// Output of programs as plain text: escape sequences (ECMA-48) are taken out, and a carriage return overwrites its line
// as it does on a terminal. What is left is shown as text and can do nothing.

// eslint-disable-next-line no-control-regex
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[PX^_][^\u001b]*(?:\u001b\\)?|[ -/]*[0-~])/g;
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g;

/** Makes output plain. */
export function plainOutput(text: string): string {
  const bare = text.replace(ESCAPES, '').replaceAll('\r\n', '\n');
  const overwritten = bare.includes('\r')
    ? bare
        .split('\n')
        .map((line) => line.split('\r').filter((part) => part !== '').at(-1) ?? '')
        .join('\n')
    : bare;
  return overwritten.replace(CONTROLS, '');
}
