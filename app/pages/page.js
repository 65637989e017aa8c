// Shows what the address says behind '#': words are put in as text and nothing else.
'use strict';

function show() {
  let shown;
  try {
    shown = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  } catch {
    // No such words: the page as it is written says that Nightshift starts.
    return;
  }
  for (const name of ['title', 'message', 'hint']) document.getElementById(name).textContent = String(shown[name] ?? '');
  document.getElementById('busy').hidden = shown.busy !== true;
  const again = document.getElementById('again');
  document.getElementById('actions').hidden = shown.again === null;
  again.textContent = shown.again ?? '';
  if (shown.again !== null) again.focus();
}

addEventListener('hashchange', show);
show();
