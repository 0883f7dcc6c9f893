// What the rules of axe find.

import axe from 'axe-core';

const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];

// Minor and moderate findings are told and do not fail.
export async function accessibility(tab, name) {
  await tab.evaluate(axe.source);
  const { violations } = await tab.evaluate((tags) => window.axe.run({ runOnly: tags }), TAGS);
  const problems = [];
  for (const { id, impact, help, nodes } of violations) {
    const first = nodes[0].html.slice(0, 200);
    const seen = `${impact} ${id}: ${help}: ${nodes.length} times, such as ${first}`;
    if (impact === 'serious' || impact === 'critical') problems.push(seen);
    else console.log(`${name}: ${seen}`);
  }
  return problems;
}
