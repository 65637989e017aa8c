import { useQuery, useQueryClient } from '@tanstack/react-query';
import { backend } from '@/backend/backend';
import { Problem, problemOf } from '@/backend/problem';
import type { AttemptList } from '@/backend/types';
import { isFinal } from '@/components/state-mark';
import { tellDone, tellProblem } from '@/components/toasts';
import { closedWords } from '@/text/attempts';

/** How often what attempts cost is asked for while one of them goes on, in milliseconds. */
const EVERY_MS = 5_000;

/** The attempts at a task, and how they rank; nothing is asked where there is no task. */
export function useAttempts(task: string | null) {
  return useQuery({
    queryKey: ['attempts', task],
    queryFn: ({ signal }) => backend.attempts(task ?? '', signal),
    enabled: task !== null,
    refetchInterval: ({ state }) => (state.data?.attempts.some((each) => !isFinal(each.run.state) && each.run.state.type !== 'inReview') === true ? EVERY_MS : false),
  });
}

/** The attempts that could still be given up once one is chosen. */
export function othersOf(list: AttemptList | undefined, run: string): AttemptList['attempts'] {
  return list?.attempts.filter((each) => each.run.run !== run && !isFinal(each.run.state)) ?? [];
}

/** Gives up every other attempt and says what was done; what could not be done is said too, and can be tried again. */
export function useCloseOthers(): (run: string) => Promise<void> {
  const client = useQueryClient();
  return async (run) => {
    try {
      const closed = await backend.closeOthers(run);
      const words = closedWords(closed);
      if (words !== '') tellDone(words);
      for (const { number, outcome } of closed.others) {
        if (outcome.type !== 'refused') continue;
        const { message, code, hint } = outcome.error;
        tellProblem(new Problem(-1, { code, message: `attempt ${number} was not given up: ${message}`, hint }));
      }
    } catch (thrown) {
      const { status, code, message, hint } = problemOf(thrown);
      tellProblem(new Problem(status, { code, message: `the other attempts were not given up: ${message}`, hint }));
    }
    await Promise.all([client.invalidateQueries({ queryKey: ['attempts'] }), client.invalidateQueries({ queryKey: ['pull-requests'] }), client.invalidateQueries({ queryKey: ['runs'] })]);
  };
}
