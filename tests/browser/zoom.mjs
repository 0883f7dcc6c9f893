// A timeline is zoomed by keys, tells what part it shows, and comes back as it was.

export async function zoom(tab) {
  const figure = tab.locator('.zoom + .scroll').first();
  if ((await figure.count()) === 0) return ['no figure can be zoomed'];
  const readout = () => tab.locator('.zoom output').first().innerText();
  const drawn = () =>
    figure.locator('rect, text, path').evaluateAll((shapes) => {
      const boxes = shapes.map((shape) => shape.getBoundingClientRect());
      const across = ({ left, right }) => `${Math.round(left)} to ${Math.round(right)}`;
      return boxes.map(across).sort().join();
    });
  // The page draws in the next frame.
  const press = async (key) => {
    await figure.press(key);
    await tab.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));
  };
  const [whole, problems] = [await drawn(), []];
  await press('+');
  if (!(await readout()).includes(' to ')) problems.push(`zoomed, it tells "${await readout()}"`);
  if ((await drawn()) === whole) problems.push('zoomed, it is drawn as before');
  await press('0');
  if ((await readout()) !== '') problems.push(`whole again, it tells "${await readout()}"`);
  if ((await drawn()) !== whole) problems.push('whole again, it is not drawn as it was');
  return problems;
}
