// Every timeline is zoomed by keys, tells what part it shows, and comes back as it was.

export async function zoom(tab) {
  const figures = await tab.locator('.zoom + .scroll').all();
  const problems = figures.length > 0 ? [] : ['no figure can be zoomed'];
  for (const [n, figure] of figures.entries()) {
    // What is folded away is zoomed as the others are.
    if (!(await figure.isVisible())) continue;
    const found = await zoomed(tab, figure, tab.locator('.zoom output').nth(n));
    problems.push(...found.map((seen) => `figure ${n + 1}: ${seen}`));
  }
  return problems;
}

async function zoomed(tab, figure, output) {
  const readout = () => output.innerText();
  // Where the shapes begin, which is at their instants.
  const drawn = () =>
    figure.locator('rect, path').evaluateAll((shapes) => {
      const begins = shapes.map((shape) => Math.round(shape.getBoundingClientRect().left));
      return begins.sort().join();
    });
  // The page draws in the next frame.
  const press = async (key) => {
    await figure.press(key);
    await tab.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
  };
  const [whole, markup, problems] = [await drawn(), await figure.innerHTML(), []];
  await press('+');
  if (!(await readout()).includes(' to ')) problems.push(`zoomed, it tells "${await readout()}"`);
  if ((await figure.innerHTML()) === markup) problems.push('zoomed, it is drawn as before');
  await press('0');
  if ((await readout()) !== '') problems.push(`whole again, it tells "${await readout()}"`);
  if ((await drawn()) !== whole) problems.push('whole again, it is not drawn as it was');
  return problems;
}
