//! The browser as the agent uses it: against a real Chromium, and against a port at which something else answers.

mod hostile;
mod pages;
mod support;
