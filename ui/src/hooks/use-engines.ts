import { useQuery } from '@tanstack/react-query';
import { backend } from '@/backend/backend';

/** The agents that may work on tasks, as the owner has them now. */
export function useEngines() {
  return useQuery({ queryKey: ['engines'], queryFn: ({ signal }) => backend.engines(signal) });
}
