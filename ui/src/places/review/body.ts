// The parts of a pull request's body, as `nightshift-forge` writes it.

/** The body's text before its first heading: what was done and why. */
export function leadOf(body: string): { lead: string; rest: string } {
  const at = body.search(/^#{1,6}\s/m);
  return at < 0 ? { lead: body, rest: '' } : { lead: body.slice(0, at).trim(), rest: body.slice(at) };
}

/** The parts of a body that this place shows in its own way are left out of the rest. */
export function withoutEvidence(rest: string): string {
  return rest.replace(/^## Evidence\s*$[\s\S]*?(?=^## |(?![\s\S]))/m, '').trim();
}

/** What the screen showed, as a picture that moves and as a video. */
export interface Recorded {
  picture: string | null;
  video: string | null;
}

/**
 * The recording that a body names at the end of its evidence. Only there: before it stands what commands printed, which is
 * the sandbox's.
 */
export function recordingIn(body: string): Recorded {
  const section = /^## Evidence[ \t]*$([\s\S]*?)(?=^## |(?![\s\S]))/m.exec(body)?.[1]?.trimEnd() ?? '';
  const [, picture, video] = /(?:\n\n!\[What the screen showed, step by step\]\(artifact:([0-9a-z]+)\))?(?:\n\n\[[^\]\n]*\(MP4\)\]\(artifact:([0-9a-z]+)\))?$/.exec(section) ?? [];
  return { picture: picture ?? null, video: video ?? null };
}
