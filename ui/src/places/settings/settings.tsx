import { Link } from 'wouter';
import { problemOf } from '@/backend/problem';
import { Waiting } from '@/components/empty';
import { Place, Section } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { useOwnerSettings } from '@/hooks/use-owner-settings';
import { Keys } from './keys';
import { Line, Lines } from './line';
import { OwnerSettings } from './owner-settings';
import { WindowSettings } from './window-settings';

/** What a person sets: of this window at once, of the owner from its next start on. */
export function SettingsPlace() {
  const { data, error, refetch } = useOwnerSettings();
  return (
    <Place title="Settings" name="Settings">
      <div className="mx-auto max-w-[820px] space-y-7 px-5 pt-5 pb-10">
        {error !== null && data === undefined && <ProblemBox problem={problemOf(error)} retry={() => void refetch()} />}
        {data === undefined && error === null && <Waiting rows={6} />}
        <WindowSettings />
        {data !== undefined && (
          <>
            <Keys settings={data} />
            <OwnerSettings settings={data} />
            <Section title="This machine">
              <Lines>
                <Line name="Health" help="Virtualisation, disk, memory, programs, the model.">
                  <Link href="/doctor" className="rounded-md border border-line-strong px-2.5 py-1 hover:bg-hover">
                    Doctor
                  </Link>
                </Line>
                <Line name="Configuration" help={<span className="foreign font-mono">{data.file}</span>} />
              </Lines>
            </Section>
          </>
        )}
      </div>
    </Place>
  );
}
