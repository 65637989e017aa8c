import './styles/app.css';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { Tooltip } from 'radix-ui';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { App } from './app';
import { Problem } from './backend/problem';
import { takeTicket } from './backend/session';
import { ActionsRoot } from './shell/actions';

const client = new QueryClient({
  defaultOptions: {
    queries: {
      // Streams say what changes; asking on focus too would only add work.
      refetchOnWindowFocus: false,
      staleTime: 15_000,
      retry: (times, error) => times < 2 && error instanceof Problem && error.passes,
      retryDelay: (attempt) => Math.min(400 * 2 ** attempt, 4_000),
    },
  },
});

async function begin(): Promise<void> {
  const root = document.getElementById('root');
  if (root === null) return;
  await takeTicket();
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <Tooltip.Provider delayDuration={450} skipDelayDuration={200}>
          <ActionsRoot>
            <App />
          </ActionsRoot>
        </Tooltip.Provider>
      </QueryClientProvider>
    </StrictMode>,
  );
}

void begin();

// An owner of another version has other files: a window that was open before fetches the page anew, once, and stays where it is.
const RELOADED = 'nightshift.reloaded';
addEventListener('vite:preloadError', (event) => {
  const last = Number(sessionStorage.getItem(RELOADED) ?? 0);
  // Twice within a minute is no change of version but a defect, which is shown.
  if (Date.now() - last < 60_000) return;
  sessionStorage.setItem(RELOADED, String(Date.now()));
  event.preventDefault();
  location.reload();
});
