import { useMemo, useState } from 'react';
import type { Evidence } from '@/backend/types';
import { Select } from '@/components/field';
import { Compare, type Picture } from '../review/compare';
import { matchCriteria, picturesOf } from '../review/criteria';

/** An attempt with what it shows for its work. */
export interface Shown {
  run: string;
  name: string;
  evidence: readonly Evidence[];
}

/** The newest picture of each criterion that an attempt backs by one; what backs none of them is under its last place. */
export function finalPictures(criteria: readonly string[], { name, evidence }: Shown): ReadonlyMap<number, Picture> {
  const newest = new Map<number, Picture>();
  matchCriteria(criteria, evidence).forEach((group, index) => {
    const picture = picturesOf(group.evidence).at(-1);
    if (picture !== undefined) newest.set(group.isCriterion ? index : criteria.length, { ...picture, label: name });
  });
  return newest;
}

/** Two attempts, by the pictures with which both back the same criterion. */
export function CompareAttempts({ criteria, attempts, pair, onPair }: { criteria: readonly string[]; attempts: readonly Shown[]; pair: readonly string[]; onPair: (pair: readonly string[]) => void }) {
  const [wanted, setWanted] = useState<number | null>(null);
  const one = attempts.find((each) => each.run === pair[0]) ?? attempts[0];
  const other = attempts.find((each) => each.run === pair[1] && each !== one) ?? attempts.find((each) => each !== one);
  const pictures = useMemo(() => (one === undefined || other === undefined ? null : { one: finalPictures(criteria, one), other: finalPictures(criteria, other) }), [criteria, one, other]);
  if (one === undefined || other === undefined || pictures === null) return null;
  const shared = [...pictures.one.keys()].filter((criterion) => pictures.other.has(criterion)).sort((left, right) => left - right);
  const criterion = wanted !== null && shared.includes(wanted) ? wanted : shared[0];
  const left = criterion === undefined ? undefined : pictures.one.get(criterion);
  const right = criterion === undefined ? undefined : pictures.other.get(criterion);
  return (
    <div className="space-y-3">
      <div className="flex flex-wrap items-center gap-x-2 gap-y-2">
        <Pick label="One attempt" attempts={attempts} value={one.run} onPick={(run) => onPair([run, run === other.run ? one.run : other.run])} />
        <span aria-hidden className="text-faint">
          against
        </span>
        <Pick label="The other attempt" attempts={attempts.filter((each) => each !== one)} value={other.run} onPick={(run) => onPair([one.run, run])} />
        {shared.length > 0 && (
          <Select aria-label="Shown for" value={criterion} onChange={(event) => setWanted(Number(event.target.value))} className="h-7! w-auto! max-w-[28rem] text-small">
            {shared.map((each) => (
              <option key={each} value={each}>
                {criteria[each] ?? 'Beyond the criteria'}
              </option>
            ))}
          </Select>
        )}
      </div>
      {left === undefined || right === undefined ? (
        <p className="rounded-lg border border-dashed border-line px-4 py-3 text-soft">No criterion is backed by a picture in both. Each review has its own pictures.</p>
      ) : (
        <Compare key={`${one.run} ${other.run} ${criterion}`} pictures={[left, right]} fixed />
      )}
    </div>
  );
}

function Pick({ label, attempts, value, onPick }: { label: string; attempts: readonly Shown[]; value: string; onPick: (run: string) => void }) {
  return (
    <Select aria-label={label} value={value} onChange={(event) => onPick(event.target.value)} className="h-7! w-auto! max-w-60 text-small">
      {attempts.map((each) => (
        <option key={each.run} value={each.run}>
          {each.name}
        </option>
      ))}
    </Select>
  );
}
