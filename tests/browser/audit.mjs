// Looks at pages of locktest in a real browser: `node audit.mjs CASES.json PICTURES`.
//
// A case has a `name` and the `address` of its page. That of a run also has its `verdict`, the
// `rows` as pairs of name and outcome, `why` the first violation is one, and `overlap: true` if two
// holders at once have to be drawn.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { accessibility } from './accessibility.mjs';
import { open, start } from './browser.mjs';
import { contrast, overlap } from './drawings.mjs';
import { keyboard } from './keyboard.mjs';
import { overflow, size, speed } from './measures.mjs';
import { paper } from './paper.mjs';
import { words } from './words.mjs';
import { zoom } from './zoom.mjs';

const WIDTHS = [1280, 800, 390];

// Looks at a page in every look that it has, and tells what is wrong with it as soon as it is seen.
async function audit(browser, page, pictures) {
  const report = (check, found) => found.forEach((seen) => fail(page, `${check}: ${seen}`));
  const file = (look) => join(pictures, `${page.name}-${look}`);
  const picture = (tab, look) => tab.screenshot({ path: file(`${look}.png`), fullPage: true });

  const plain = await open(browser, page.address, { javaScriptEnabled: false });
  report('without scripts', await words(plain.tab, page));
  report('noise without scripts', plain.noise);
  await plain.close();

  const { tab, noise, close } = await open(browser, page.address);
  report('speed', await speed(tab, page.name));
  report('size', await size(tab, page.name));
  if (page.overlap) report('overlap', await overlap(tab));
  if (page.rows) report('zoom', await zoom(tab));
  for (const colorScheme of ['light', 'dark']) {
    await tab.emulateMedia({ colorScheme });
    report(`accessibility, ${colorScheme}`, await accessibility(tab, page.name));
    report(`drawn text, ${colorScheme}`, await contrast(tab));
    await picture(tab, colorScheme);
  }
  await tab.emulateMedia({ colorScheme: 'light' });
  for (const width of WIDTHS) {
    await tab.setViewportSize({ width, height: 900 });
    report(`overflow at ${width} px`, await overflow(tab));
    await picture(tab, `${width}px`);
    report(`keyboard at ${width} px`, await keyboard(tab));
  }
  report('paper', await paper(tab, file('print.pdf')));
  await picture(tab, 'print');
  report('noise', noise);
  await close();
}

function fail(page, what) {
  console.error(`${page.name}: ${what}`);
  process.exitCode = 1;
}

const [cases, pictures] = process.argv.slice(2);
if (!pictures) throw new Error('usage: node audit.mjs CASES.json PICTURES');
mkdirSync(pictures, { recursive: true });
const browser = await start();
for (const page of JSON.parse(readFileSync(cases, 'utf8'))) {
  await audit(browser, page, pictures).catch((error) => fail(page, error.message));
}
await browser.close();
