// Headless Chromium, with tabs that may load one page and nothing else.

import { existsSync } from 'node:fs';

import { chromium } from 'playwright-core';

const CHROMIUM = '/usr/bin/chromium';

export async function start() {
  if (!existsSync(CHROMIUM)) throw new Error(`no ${CHROMIUM}; \`make test\` installs it`);
  // Chromium has no sandbox for root, as whom the tests run.
  return chromium.launch({ executablePath: CHROMIUM, chromiumSandbox: false });
}

// A tab with the page at `address`, and the `noise` that it made: messages on the console, errors,
// and requests for anything but itself, which get no answer.
export async function open(browser, address, options = {}) {
  const viewport = { width: 1280, height: 900 };
  const context = await browser.newContext({ viewport, ...options });
  const noise = [];
  await context.route('**/*', (route) => {
    if (route.request().url() === address) return route.continue();
    noise.push(`it asked for ${route.request().url()}`);
    return route.abort();
  });
  const tab = await context.newPage();
  tab.on('console', (message) => noise.push(`${message.type()} on the console: ${message.text()}`));
  tab.on('pageerror', (error) => noise.push(`error: ${error.message}`));
  const answer = await tab.goto(address);
  if (!answer.ok() && answer.status() !== 0) noise.push(`the answer was ${answer.status()}`);
  return { tab, noise, close: () => context.close() };
}
