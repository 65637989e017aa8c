import { Film, Play } from 'lucide-react';
import { useState } from 'react';
import { backend } from '@/backend/backend';
import { Button } from '@/components/button';
import type { Recorded } from './body';

/** The recording, played when it is asked for. */
export function Recording({ recorded: { picture, video } }: { recorded: Recorded }) {
  const [plays, setPlays] = useState(false);
  if (picture === null && video === null) return null;
  return (
    <section>
      <h2 className="mb-2.5 text-large font-semibold">Recording</h2>
      <div className="space-y-2.5">
        {plays && picture !== null && <img src={backend.artifactAddress(picture)} alt="What the screen showed, step by step" className="max-h-[70vh] max-w-full rounded-md border border-line bg-screen" />}
        <div className="flex items-center gap-2">
          {picture !== null && (
            <Button aria-pressed={plays} icon={<Play aria-hidden className="size-3.5" />} onClick={() => setPlays(!plays)}>
              {plays ? 'Put the recording away' : 'Play what the screen showed'}
            </Button>
          )}
          {video !== null && (
            <a href={backend.artifactAddress(video)} target="_blank" rel="noreferrer" className="inline-flex h-7 items-center gap-1.5 rounded-md px-2.5 text-work hover:underline">
              <Film aria-hidden className="size-3.5" />
              {picture === null ? 'What the screen showed, as a video' : 'The same as a video'}
            </a>
          )}
        </div>
      </div>
    </section>
  );
}
