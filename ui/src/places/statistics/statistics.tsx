import { useQuery } from '@tanstack/react-query';
import { ChartNoAxesColumn } from 'lucide-react';
import type { ReactNode } from 'react';
import { useLocation, useSearch } from 'wouter';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import type { Statistics, StatisticsBy, StatisticsRow } from '@/backend/types';
import { Empty, Waiting } from '@/components/empty';
import { Choices, Select } from '@/components/field';
import { Place } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { count, duration, money, repositoryName } from '@/text/format';

const KINDS: readonly { value: StatisticsBy; name: string }[] = [
  { value: 'repository', name: 'Repository' },
  { value: 'model', name: 'Model' },
  { value: 'week', name: 'Week' },
  { value: 'blueprint', name: 'Blueprint' },
];

const SPANS = [
  { since: '', name: 'All time' },
  { since: '12w', name: 'Last 12 weeks' },
  { since: '4w', name: 'Last 4 weeks' },
  { since: '7d', name: 'Last 7 days' },
];

/** What tasks and their reviews came to. What is chosen is in the address. */
export function StatisticsPlace() {
  const search = useSearch();
  const [, go] = useLocation();
  const parameters = new URLSearchParams(search);
  const by = KINDS.find((kind) => kind.value === parameters.get('by'))?.value ?? 'repository';
  const since = SPANS.find((span) => span.since === parameters.get('since'))?.since ?? '';
  const { data, error, refetch } = useQuery({
    queryKey: ['statistics', by, since],
    queryFn: ({ signal }) => backend.statistics(by, since, signal),
    placeholderData: (before) => before,
  });
  const show = (change: { by?: StatisticsBy; since?: string }) => {
    const next = new URLSearchParams({ by: change.by ?? by });
    const from = change.since ?? since;
    if (from !== '') next.set('since', from);
    go(`/statistics?${next.toString()}`, { replace: true });
  };
  return (
    <Place
      title="Statistics"
      name="Statistics"
      bar={
        <div className="flex items-center gap-2 pl-4">
          <Choices label="Rows by" value={by} options={KINDS} onChange={(value) => show({ by: value })} />
          <Select aria-label="Time" value={since} onChange={(event) => show({ since: event.target.value })} className="h-[30px]! w-auto!">
            {SPANS.map((span) => (
              <option key={span.since} value={span.since}>
                {span.name}
              </option>
            ))}
          </Select>
        </div>
      }
    >
      <div className="mx-auto max-w-[1240px] space-y-6 px-5 pt-5 pb-10">
        {error !== null && <ProblemBox problem={problemOf(error)} retry={() => void refetch()} />}
        {data === undefined && error === null && <Waiting rows={6} />}
        {data !== undefined && data.total.runs === 0 && (
          <Empty icon={<ChartNoAxesColumn />} title="No task in that time">
            What tasks and their reviews came to is summed up here.
          </Empty>
        )}
        {data !== undefined && data.total.runs > 0 && <Sums statistics={data} />}
      </div>
    </Place>
  );
}

const seconds = (value: number | null | undefined) => (value === null || value === undefined ? '–' : duration(value * 1_000));
const share = (part: number, whole: number) => (whole === 0 ? '–' : `${Math.round((part * 100) / whole)} %`);

function Sums({ statistics: { by, rows, total } }: { statistics: Statistics }) {
  const kind = KINDS.find((each) => each.value === by)?.name ?? '';
  return (
    <>
      <dl className="grid grid-cols-2 gap-3 min-[900px]:grid-cols-4">
        <Figure name="Merged without significant change" value={share(total.mergedUnchanged, total.merged)} about={`${count(total.mergedUnchanged)} of ${count(total.merged)} merged`} />
        <Figure name="Open for a decision" value={seconds(total.reviewSeconds)} about="median, without the agent's own time" />
        <Figure name="Changes asked for" value={count(total.rounds)} about={`in ${count(total.delivered)} delivered`} />
        <Figure name="Cost of one merged" value={total.merged === 0 ? '–' : money(total.costMicrodollars / total.merged)} about={`${money(total.costMicrodollars)} in all`} />
      </dl>
      {/* It can be wider than the window; focus lets the keyboard scroll it. */}
      <div tabIndex={0} role="region" aria-label="Table" className="overflow-x-auto rounded-lg border border-line">
        <table className="w-full text-left">
          <thead className="border-b border-line text-small text-faint">
            <tr>
              <Head>{kind}</Head>
              {['Runs', 'Delivered', 'Merged', 'Unchanged', 'Closed', 'Given up', 'Rounds', 'Review', 'Agent', 'Cost'].map((name) => (
                <Head key={name} right>
                  {name}
                </Head>
              ))}
            </tr>
          </thead>
          <tbody className="divide-y divide-line/60">
            {rows.map((row) => (
              <Row key={row.name} row={row} name={by === 'repository' ? repositoryName(row.name) : row.name} />
            ))}
          </tbody>
          <tfoot className="border-t border-line-strong font-medium">
            <Row row={total} name="All" />
          </tfoot>
        </table>
      </div>
    </>
  );
}

function Figure({ name, value, about }: { name: string; value: string; about: string }) {
  return (
    <div className="rounded-lg border border-line bg-raised px-4 py-3">
      <dt className="text-small text-faint">{name}</dt>
      <dd className="figures pt-1 text-[1.4rem] leading-7 font-semibold">
        {value}
        <span className="block text-small leading-5 font-normal text-faint">{about}</span>
      </dd>
    </div>
  );
}

function Head({ children, right = false }: { children: ReactNode; right?: boolean }) {
  return (
    <th scope="col" className={`h-8 px-3 font-normal whitespace-nowrap ${right ? 'text-right' : ''}`}>
      {children}
    </th>
  );
}

function Row({ row, name }: { row: StatisticsRow; name: string }) {
  const cells = [count(row.runs), count(row.delivered), count(row.merged), share(row.mergedUnchanged, row.merged), count(row.closed), count(row.givenUp), count(row.rounds), seconds(row.reviewSeconds), seconds(row.agentSeconds), money(row.costMicrodollars)];
  return (
    <tr>
      <th scope="row" title={row.name} className="foreign h-9 max-w-80 truncate px-3 font-medium">
        {name}
      </th>
      {cells.map((cell, index) => (
        <td key={index} className="figures h-9 px-3 text-right whitespace-nowrap text-soft">
          {cell}
        </td>
      ))}
    </tr>
  );
}
