import { useQuery } from '@tanstack/react-query';
import { RotateCw } from 'lucide-react';
import { backend } from '@/backend/backend';
import { problemOf } from '@/backend/problem';
import { Button } from '@/components/button';
import { Waiting } from '@/components/empty';
import { Place } from '@/components/place';
import { ProblemBox } from '@/components/problem-box';
import { Checks } from './checks';

export function useDoctor() {
  return useQuery({ queryKey: ['doctor'], queryFn: () => backend.doctor(), staleTime: 60_000 });
}

/** Whether this machine can run sandboxes, and what to do if not. */
export function Doctor() {
  const { data, error, isFetching, refetch } = useDoctor();
  return (
    <Place
      title="Doctor"
      name="Doctor"
      actions={
        <Button busy={isFetching} icon={<RotateCw aria-hidden className="size-3.5" />} onClick={() => void refetch()}>
          Look again
        </Button>
      }
    >
      <div className="mx-auto max-w-[820px] px-5 pt-5 pb-10">
        {error !== null && <ProblemBox problem={problemOf(error)} retry={() => void refetch()} />}
        {data === undefined && error === null && <Waiting rows={7} />}
        {data !== undefined && <Checks checks={data.checks} />}
      </div>
    </Place>
  );
}
