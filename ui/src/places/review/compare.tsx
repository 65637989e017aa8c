import clsx from 'clsx';
import { useEffect, useRef, useState } from 'react';
import { backend } from '@/backend/backend';
import type { Image } from '@/backend/types';
import { ArtifactImage } from '@/components/artifact-image';
import { Choices, Select } from '@/components/field';
import { comparePixels } from '@/diff/pixels';
import { count } from '@/text/format';

export interface Picture {
  image: Image;
  label: string;
  step: string;
}

type Way = 'slider' | 'beside' | 'difference';

/** Two recorded screens against each other: a slider, side by side, or the pixels that differ. Which two is chosen here, of what was
 * before and after, unless they are `fixed`: then each is called by its label. */
export function Compare({ pictures, fixed = false }: { pictures: readonly Picture[]; fixed?: boolean }) {
  const [way, setWay] = useState<Way>('slider');
  const [before, setBefore] = useState(0);
  const [after, setAfter] = useState(pictures.length - 1);
  const one = pictures[before];
  const other = pictures[after];
  if (one === undefined || other === undefined) return null;
  const alike = one.image.width === other.image.width && one.image.height === other.image.height;
  return (
    <div className="overflow-hidden rounded-lg border border-line bg-raised">
      <div className="flex flex-wrap items-center gap-2 border-b border-line px-3 py-2">
        {fixed ? (
          <p className="foreign min-w-0 truncate text-small text-soft">
            {one.label} (left), {other.label} (right)
          </p>
        ) : (
          <>
            <PickPicture label="Before" pictures={pictures} value={before} onPick={setBefore} />
            <span aria-hidden className="text-faint">
              →
            </span>
            <PickPicture label="After" pictures={pictures} value={after} onPick={setAfter} />
          </>
        )}
        <span className="flex-1" />
        <Choices
          label="How to compare"
          value={way}
          onChange={setWay}
          options={[
            { value: 'slider', name: 'Slider' },
            { value: 'beside', name: 'Side by side' },
            { value: 'difference', name: 'Difference' },
          ]}
        />
      </div>
      <div className="bg-well p-3">
        {way === 'slider' && <Slider one={one} other={other} names={fixed ? [one.label, other.label] : ['Before', 'After']} />}
        {way === 'beside' && (
          <div className="grid grid-cols-2 gap-3">
            {[one, other].map((picture, index) => (
              <figure key={index}>
                <ArtifactImage id={picture.image.artifact} alt={picture.label} width={picture.image.width} height={picture.image.height} className="h-auto w-full rounded-sm" />
                <figcaption className="foreign pt-1.5 text-small text-faint">{picture.label}</figcaption>
              </figure>
            ))}
          </div>
        )}
        {way === 'difference' && (alike ? <Difference one={one} other={other} /> : <p className="py-10 text-center text-faint">The pictures have different sizes, so their pixels cannot be compared.</p>)}
      </div>
    </div>
  );
}

function PickPicture({ label, pictures, value, onPick }: { label: string; pictures: readonly Picture[]; value: number; onPick: (index: number) => void }) {
  return (
    <Select aria-label={label} value={value} onChange={(event) => onPick(Number(event.target.value))} className="h-7! w-auto! max-w-60 text-small">
      {pictures.map((picture, index) => (
        <option key={index} value={index}>
          {label}: {picture.label || `step ${picture.step}`}
        </option>
      ))}
    </Select>
  );
}

function Slider({ one, other, names: [left, right] }: { one: Picture; other: Picture; names: readonly [string, string] }) {
  const [at, setAt] = useState(50);
  return (
    <div className="relative mx-auto max-w-[1280px] overflow-hidden rounded-sm has-focus-visible:outline-2 has-focus-visible:outline-offset-2 has-focus-visible:outline-lamp" style={{ aspectRatio: `${other.image.width} / ${other.image.height}` }}>
      <ArtifactImage id={other.image.artifact} alt={`${right}: ${other.label}`} className="absolute inset-0 size-full object-contain" />
      <div className="absolute inset-0" style={{ clipPath: `inset(0 ${100 - at}% 0 0)` }}>
        <ArtifactImage id={one.image.artifact} alt={`${left}: ${one.label}`} className="size-full object-contain" />
      </div>
      <span aria-hidden className="absolute top-2 left-2 rounded-sm bg-[rgb(0_0_0/0.66)] px-1.5 text-tiny text-[#fff]" style={{ opacity: at > 12 ? 1 : 0 }}>
        {left}
      </span>
      <span aria-hidden className="absolute top-2 right-2 rounded-sm bg-[rgb(0_0_0/0.66)] px-1.5 text-tiny text-[#fff]" style={{ opacity: at < 88 ? 1 : 0 }}>
        {right}
      </span>
      <span aria-hidden className="pointer-events-none absolute inset-y-0 w-[2px] -translate-x-1/2 bg-lamp" style={{ left: `${at}%` }}>
        <span className="absolute top-1/2 left-1/2 flex h-8 w-5 -translate-1/2 items-center justify-center rounded-md bg-lamp text-small font-semibold text-lamp-ink">⇔</span>
      </span>
      <input type="range" aria-label={`How much of the picture ${left.toLowerCase()} is shown`} min={0} max={100} step={0.5} value={at} onChange={(event) => setAt(Number(event.target.value))} className="absolute inset-0 size-full cursor-ew-resize opacity-0" />
    </div>
  );
}

async function pixelsOf(id: string): Promise<ImageData> {
  const bitmap = await createImageBitmap(new Blob([await backend.artifact(id)]));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (context === null) throw new Error('this browser cannot draw');
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

function Difference({ one, other }: { one: Picture; other: Picture }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [found, setFound] = useState<{ count: number; total: number } | 'failed' | null>(null);
  useEffect(() => {
    let stale = false;
    void (async () => {
      try {
        const [before, after] = await Promise.all([pixelsOf(one.image.artifact), pixelsOf(other.image.artifact)]);
        const element = canvas.current;
        if (stale || element === null) return;
        const result = comparePixels(before.data, after.data, after.width, [224, 72, 40]);
        element.width = after.width;
        element.height = after.height;
        element.getContext('2d')?.putImageData(new ImageData(result.marked, after.width, after.height), 0, 0);
        setFound({ count: result.count, total: result.total });
      } catch {
        if (!stale) setFound('failed');
      }
    })();
    return () => {
      stale = true;
    };
  }, [one.image.artifact, other.image.artifact]);
  return (
    <figure className="mx-auto max-w-[1280px]">
      <canvas ref={canvas} width={other.image.width} height={other.image.height} role="img" aria-label="Pixels that differ" className={clsx('h-auto w-full rounded-sm', found === 'failed' && 'hidden')} />
      <figcaption className="figures pt-1.5 text-small text-faint">
        {found === null && 'Comparing'}
        {found === 'failed' && 'One of the pictures could not be read.'}
        {found !== null && found !== 'failed' && (found.count === 0 ? 'Not one pixel differs.' : `${count(found.count)} pixels differ, ${((found.count / found.total) * 100).toFixed(1)} % of the screen.`)}
      </figcaption>
    </figure>
  );
}
