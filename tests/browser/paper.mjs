// The page as it is printed, also from a dark screen.

import { statSync } from 'node:fs';

import { overflow } from './measures.mjs';

// What a sheet of A4 has between margins of a centimetre.
const SHEET = { width: 718, height: 1047 };
const MARGIN = { top: '1cm', right: '1cm', bottom: '1cm', left: '1cm' };

const MAX_PDF_BYTES = 5_000_000;

export async function paper(tab, path) {
  await tab.emulateMedia({ media: 'print', colorScheme: 'dark' });
  await tab.setViewportSize(SHEET);
  const problems = await overflow(tab);
  const ground = await tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
  if (ground !== 'rgb(255, 255, 255)') problems.push(`it is printed on ${ground}`);
  // The scripts of faults stay folded: they would fill sheets.
  const details = tab.locator('details:not(.commands, .commands details)');
  const folded = await details.evaluateAll(
    (all) => all.filter((one) => !one.lastElementChild.checkVisibility()).length,
  );
  if (folded > 0) problems.push(`${folded} things stay folded away`);
  await tab.pdf({ path, format: 'A4', margin: MARGIN });
  const bytes = statSync(path).size;
  if (bytes > MAX_PDF_BYTES) problems.push(`a PDF of ${bytes} bytes, of at most ${MAX_PDF_BYTES}`);
  return problems;
}
