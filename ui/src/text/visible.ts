// Characters that turn text around or hide in it. Somebody who reads a change must see the text that runs, so they are
// shown by their names (CVE-2021-42574, "Trojan Source").

const TURNING = /[\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]/g;

/** Shows what would turn or hide text. */
export function visible(text: string): string {
  return text.replace(TURNING, (character) => `⟨U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
}

/** Takes out what would turn or hide text: for titles, where nobody looks for it. */
export function upright(text: string): string {
  return text.replace(TURNING, '');
}
