// Whoever has no mouse reaches everything: Tab comes to each control and each region that
// scrolls, the focus shows, and arrows scroll.

export async function keyboard(tab) {
  const stops = await tab.evaluate(() => {
    const controls = 'a[href], button, select, input:not([type=hidden]), summary, [tabindex]';
    const scrolls = (element) =>
      element.scrollWidth > element.clientWidth + 1 &&
      ['auto', 'scroll'].includes(getComputedStyle(element).overflowX);
    const wanted = (element) => element.matches(controls) || scrolls(element);
    const shown = [...document.body.querySelectorAll('*')].filter((one) => one.checkVisibility());
    window.unreached = new Set(shown.filter(wanted));
    return window.unreached.size;
  });
  const problems = [];
  // Twice round, since the first Tab may begin anywhere.
  for (let press = 0; press <= 2 * stops; press += 1) {
    await tab.keyboard.press('Tab');
    const { isNew, html, outline, room, left } = await tab.evaluate(() => {
      const element = document.activeElement;
      return {
        isNew: window.unreached.delete(element),
        html: element.outerHTML.slice(0, 120),
        outline: getComputedStyle(element).outlineStyle,
        room: element.matches('.scroll') ? element.scrollWidth - element.clientWidth : 0,
        left: window.unreached.size,
      };
    });
    if (isNew && outline === 'none') problems.push(`nothing shows that the focus is at ${html}`);
    if (isNew && room > 1 && !(await arrowsScroll(tab))) problems.push(`no arrow scrolls ${html}`);
    if (left === 0) break;
  }
  const unreached = await tab.evaluate(() =>
    [...window.unreached].map((element) => element.outerHTML.slice(0, 120)),
  );
  return [...problems, ...unreached.map((html) => `Tab never comes to ${html}`)];
}

// Tries it, and scrolls back.
async function arrowsScroll(tab) {
  await tab.keyboard.press('ArrowRight');
  const scrolled = () => document.activeElement.scrollLeft > 0;
  const done = await tab.waitForFunction(scrolled, null, { timeout: 3000 }).catch(() => null);
  await tab.evaluate(() => document.activeElement.scrollTo(0, 0));
  return done !== null;
}
