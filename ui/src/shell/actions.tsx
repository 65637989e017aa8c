import { createContext, type ReactNode, useContext, useEffect, useRef, useState } from 'react';

/** Something a place offers in the palette. */
export interface Action {
  name: string;
  icon: ReactNode;
  keys?: string;
  act: () => void;
}

const Offered = createContext<{ actions: readonly Action[]; offer: (actions: readonly Action[]) => void }>({ actions: [], offer: () => undefined });

export function ActionsRoot({ children }: { children: ReactNode }) {
  const [actions, offer] = useState<readonly Action[]>([]);
  return <Offered value={{ actions, offer }}>{children}</Offered>;
}

export function useActions(): readonly Action[] {
  return useContext(Offered).actions;
}

/** Offers what can be done here, as long as the place is shown; `key` changes when the list does. */
export function useOffer(key: string, actions: readonly Action[]): void {
  const { offer } = useContext(Offered);
  const current = useRef(actions);
  current.current = actions;
  useEffect(() => {
    offer(current.current.map((action, index) => ({ ...action, act: () => current.current[index]?.act() })));
    return () => offer([]);
  }, [key, offer]);
}
