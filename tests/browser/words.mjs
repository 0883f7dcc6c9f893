// The words that tell the verdict are seen, whatever the browser can do.

export async function words(tab, { verdict, rows, why }) {
  const problems = [];
  const seen = async (what, locator) => {
    if (!(await locator.isVisible())) problems.push(`${what} is not seen`);
  };
  const tables = await tab.locator('table').all();
  if (tables.length === 0) problems.push('there is no table');
  // What is folded away is seen on demand, which needs no script.
  for (const [n, table] of tables.entries()) {
    const folded = await table.evaluate((table) => table.closest('details') !== null);
    if (!folded) await seen(`table ${n + 1}`, table);
  }
  const headline = tab.locator('.headline', { hasText: verdict });
  if (verdict) await seen(`the verdict "${verdict}"`, headline);
  if (rows) problems.push(...(await differences(tab, rows)));
  if (why) await seen(`the reason "${why}"`, tab.locator('.why', { hasText: why }).first());
  return problems;
}

// The rows as a reader sees them, with the signs before the outcomes left out.
async function differences(tab, expected) {
  const found = await tab.locator('.rows tr').evaluateAll((rows) =>
    rows.map((row) => {
      const [name, outcome] = [row.querySelector('th'), row.querySelector('.badge')];
      return [name.innerText, outcome.innerText.replace(/^\S+ /, '').toLowerCase()];
    }),
  );
  const [told, wanted] = [JSON.stringify(found), JSON.stringify(expected)];
  return told === wanted ? [] : [`the rows are ${told}, not ${wanted}`];
}
